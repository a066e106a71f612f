//! Joins the OpenAPI documents of several services into one.
//!
//! Names of one service never meet those of another: component names and operation ids are prefixed
//! with the service's, and every reference follows. Only paths that are routed to the service from
//! outside are kept.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The methods of a path item (OpenAPI 3.1, section 4.8.9).
const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// The one way to prove who asks.
const BEARER: &str = "bearer";

/// A document under construction.
pub(super) struct Joined {
    root: Map<String, Value>,
    paths: Map<String, Value>,
    components: BTreeMap<String, Map<String, Value>>,
    tags: Vec<Value>,
}

impl Joined {
    /// An empty document with the `info` of the gateway's own one.
    pub(super) fn new(own: &Value) -> Self {
        let mut root = Map::new();
        root.insert("openapi".to_owned(), json!("3.1.0"));
        root.insert(
            "info".to_owned(),
            own.get("info").cloned().unwrap_or_default(),
        );
        root.insert("servers".to_owned(), json!([{"url": "/"}]));
        let bearer = json!({"type": "http", "scheme": "bearer", "bearerFormat": "JWT"});
        let schemes = Map::from_iter([(BEARER.to_owned(), bearer)]);
        Self {
            root,
            paths: Map::new(),
            components: BTreeMap::from([("securitySchemes".to_owned(), schemes)]),
            tags: Vec::new(),
        }
    }

    /// Adds a service's document, as far as `is_public` lets its paths through.
    pub(super) fn add(
        &mut self,
        service: &str,
        mut document: Value,
        is_public: impl Fn(&str) -> bool,
    ) {
        let naming = Naming::of(service, &document, &is_public);
        naming.rename_references(&mut document);
        let inherited = document.get("security").cloned();
        for (path, mut item) in entries(document.get_mut("paths")) {
            if is_public(&path) {
                naming.rename_operations(&path, &mut item, inherited.as_ref());
                self.paths.insert(path, item);
            }
        }
        for (kind, section) in entries(document.get_mut("components")) {
            self.add_components(&naming, kind, section);
        }
        for (_, mut tag) in numbered(document.get_mut("tags")) {
            if let Some(name) = tag.get("name").and_then(Value::as_str) {
                let name = naming.tag(name);
                if let Some(tag) = tag.as_object_mut() {
                    tag.insert("name".to_owned(), name.into());
                }
                self.tags.push(tag);
            }
        }
    }

    fn add_components(&mut self, naming: &Naming, kind: String, mut section: Value) {
        let is_scheme = kind == "securitySchemes";
        let kept = self.components.entry(kind).or_default();
        for (name, component) in entries(Some(&mut section)) {
            let name = match is_scheme {
                true => naming.scheme(&name),
                false => naming.component(&name),
            };
            // The bearer scheme is defined once, for all.
            if name != BEARER {
                kept.insert(name, component);
            }
        }
    }

    /// The finished document.
    pub(super) fn finish(mut self) -> Value {
        self.root.insert("paths".to_owned(), self.paths.into());
        let components = self.components.into_iter();
        let components: Map<String, Value> = components
            .map(|(kind, section)| (kind, section.into()))
            .collect();
        self.root.insert("components".to_owned(), components.into());
        if !self.tags.is_empty() {
            self.root.insert("tags".to_owned(), self.tags.into());
        }
        self.root.into()
    }
}

/// How a service's names are written in the joined document.
struct Naming {
    service: String,
    /// Its security schemes that are the common bearer scheme under some name.
    bearer_schemes: Vec<String>,
    /// Operation ids that it uses more than once on public paths.
    repeated_ids: Vec<String>,
}

impl Naming {
    fn of(service: &str, document: &Value, is_public: impl Fn(&str) -> bool) -> Self {
        let schemes = document.pointer("/components/securitySchemes");
        let schemes = schemes.and_then(Value::as_object).into_iter().flatten();
        let is_bearer = |scheme: &Value| {
            scheme.get("type").and_then(Value::as_str) == Some("http")
                && scheme.get("scheme").and_then(Value::as_str) == Some(BEARER)
        };
        let bearer_schemes = schemes.filter(|(_, scheme)| is_bearer(scheme));
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let paths = document.get("paths").and_then(Value::as_object);
        let public = paths
            .into_iter()
            .flatten()
            .filter(|(path, _)| is_public(path));
        for (_, item) in public {
            for id in METHODS
                .iter()
                .filter_map(|method| item.get(method)?.get("operationId")?.as_str())
            {
                *counts.entry(id).or_default() += 1;
            }
        }
        let repeated = counts.into_iter().filter(|(_, count)| *count > 1);
        Self {
            service: service.to_owned(),
            bearer_schemes: bearer_schemes.map(|(name, _)| name.clone()).collect(),
            repeated_ids: repeated.map(|(id, _)| id.to_owned()).collect(),
        }
    }

    fn component(&self, name: &str) -> String {
        format!("{}.{name}", self.service)
    }

    fn scheme(&self, name: &str) -> String {
        let common = name == BEARER || self.bearer_schemes.iter().any(|known| known == name);
        match common {
            true => BEARER.to_owned(),
            false => self.component(name),
        }
    }

    fn tag(&self, name: &str) -> String {
        match name == self.service {
            true => name.to_owned(),
            false => format!("{}: {name}", self.service),
        }
    }

    /// An id that a service uses twice is made from method and path instead.
    fn operation_id(&self, id: Option<&str>, method: &str, path: &str) -> String {
        match id.filter(|id| !self.repeated_ids.iter().any(|repeated| repeated == id)) {
            Some(id) => self.component(id),
            None => {
                let words = path.split(|c: char| !c.is_ascii_alphanumeric());
                let words: Vec<&str> = words
                    .filter(|word| !word.is_empty() && *word != "api")
                    .collect();
                self.component(&format!("{method}_{}", words.join("_")))
            }
        }
    }

    fn rename_operations(&self, path: &str, item: &mut Value, inherited: Option<&Value>) {
        let Some(item) = item.as_object_mut() else {
            return;
        };
        item.remove("servers");
        for method in METHODS {
            let Some(operation) = item.get_mut(method).and_then(Value::as_object_mut) else {
                continue;
            };
            operation.remove("servers");
            let id = operation.get("operationId").and_then(Value::as_str);
            let id = self.operation_id(id, method, path);
            operation.insert("operationId".to_owned(), id.into());
            let tags = operation.get("tags").and_then(Value::as_array);
            let tags = tags.into_iter().flatten().filter_map(Value::as_str);
            let mut tags: Vec<Value> = tags.map(|tag| self.tag(tag).into()).collect();
            if tags.is_empty() {
                tags.push(self.service.clone().into());
            }
            operation.insert("tags".to_owned(), tags.into());
            if let (false, Some(inherited)) = (operation.contains_key("security"), inherited) {
                operation.insert("security".to_owned(), inherited.clone());
            }
            self.rename_security(operation.get_mut("security"));
        }
    }

    fn rename_security(&self, requirements: Option<&mut Value>) {
        let requirements = requirements.and_then(Value::as_array_mut);
        for requirement in requirements.into_iter().flatten() {
            let renamed = entries(Some(&mut *requirement));
            let renamed = renamed.map(|(name, scopes)| (self.scheme(&name), scopes));
            *requirement = Value::Object(renamed.collect());
        }
    }

    /// Rewrites every `$ref` and every mapping of a discriminator.
    fn rename_references(&self, value: &mut Value) {
        match value {
            Value::Array(items) => items
                .iter_mut()
                .for_each(|item| self.rename_references(item)),
            Value::Object(object) => {
                for (key, inner) in object.iter_mut() {
                    match inner {
                        Value::String(text) if key == "$ref" => *text = self.reference(text),
                        Value::Object(mapping) if key == "mapping" => {
                            for target in mapping.values_mut() {
                                if let Value::String(text) = target {
                                    *text = self.reference(text);
                                }
                            }
                        }
                        // Examples are data, whatever they look like.
                        _ if matches!(
                            key.as_str(),
                            "example" | "examples" | "default" | "const" | "enum"
                        ) => {}
                        _ => self.rename_references(inner),
                    }
                }
            }
            _ => {}
        }
    }

    fn reference(&self, text: &str) -> String {
        let local = text
            .strip_prefix("#/components/")
            .and_then(|rest| rest.split_once('/'));
        match local {
            Some(("securitySchemes", name)) => {
                format!("#/components/securitySchemes/{}", self.scheme(name))
            }
            Some((kind, name)) => format!("#/components/{kind}/{}", self.component(name)),
            None => text.to_owned(),
        }
    }
}

/// Takes the members out of an object; none from anything else.
fn entries(value: Option<&mut Value>) -> impl Iterator<Item = (String, Value)> + use<> {
    let taken = value.and_then(Value::as_object_mut).map(std::mem::take);
    taken.unwrap_or_default().into_iter()
}

/// Takes the items out of an array; none from anything else.
fn numbered(value: Option<&mut Value>) -> impl Iterator<Item = (usize, Value)> + use<> {
    let taken = value.and_then(Value::as_array_mut).map(std::mem::take);
    taken.unwrap_or_default().into_iter().enumerate()
}

#[cfg(test)]
mod tests;
