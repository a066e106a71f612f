//! Reads an OpenAPI 3.1 document as far as the driver needs it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Paths that every service has and nobody needs a token for.
const EXEMPT: [&str; 5] = ["/health", "/ready", "/metrics", "/openapi.json", "/docs"];
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
/// References inside references, before a schema counts as recursive.
const MAX_DEPTH: usize = 12;

pub(crate) struct Document {
    root: Value,
    pub(crate) operations: Vec<Operation>,
    known: BTreeMap<String, Value>,
}

#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) access: Access,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<Body>,
    /// `x-permission`: who may call it.
    pub(crate) permission: Option<Value>,
    /// `x-store-scope`: where the store of a request comes from.
    pub(crate) store_scope: Option<String>,
    /// What the document says of the answers.
    pub(crate) answers: Answers,
    /// Methods that the document has for the same path.
    pub(crate) siblings: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Public,
    User,
    /// An application that may know whose token it has.
    OpenId,
    Service,
    /// A service or a person who may operate the system.
    Operator,
}

#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) required: bool,
    pub(crate) schema: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    Header,
}

#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) required: bool,
    pub(crate) media_types: Vec<String>,
    /// Of the JSON form; `None` when there is no JSON form.
    pub(crate) schema: Option<Value>,
}

/// What the document says of an operation's answers: by status, as it writes it (`400`, `4XX`), the
/// media types of those that are no problem documents.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers(BTreeMap<String, Vec<String>>);

impl Answers {
    fn read(operation: &Value) -> Self {
        let is_problem = |content: &Value| {
            let schema = content.pointer("/schema/$ref").and_then(Value::as_str);
            schema.is_some_and(|name| name.ends_with("/Problem"))
        };
        let media_types = |answer: &Value| {
            let content = answer.get("content").and_then(Value::as_object);
            let own = content.into_iter().flatten();
            let own = own.filter(|(_, content)| !is_problem(content));
            own.map(|(media_type, _)| media_type.clone()).collect()
        };
        let answers = operation.get("responses").and_then(Value::as_object);
        let answers = answers.into_iter().flatten();
        Self(
            answers
                .map(|(status, answer)| (status.clone(), media_types(answer)))
                .collect(),
        )
    }

    /// Whether the document has this status.
    pub(crate) fn has(&self, status: u16) -> bool {
        self.0.contains_key(&status.to_string())
    }

    /// Whether answers of this status have this media type and are no problem documents.
    pub(crate) fn has_form(&self, status: u16, media_type: &str) -> bool {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        self.forms(status).any(|known| known == essence)
    }

    /// Whether malformed requests are refused in a form of the operation's own, as those of a protocol
    /// and of pages are. They also have rules of their own for what they ignore.
    pub(crate) fn has_own_refusals(&self) -> bool {
        self.forms(400).next().is_some()
    }

    fn forms(&self, status: u16) -> impl Iterator<Item = &String> {
        let written = [status.to_string(), format!("{}XX", status / 100)];
        let answers = written.into_iter().filter_map(|name| self.0.get(&name));
        answers.flatten()
    }
}

impl Operation {
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.method.to_uppercase(), self.path)
    }
}

impl Document {
    pub(crate) fn read(root: &Value, public: &[String], known: &BTreeMap<String, Value>) -> Self {
        let mut document = Self {
            root: root.clone(),
            operations: Vec::new(),
            known: known.clone(),
        };
        let no_paths = Map::new();
        let paths = root.get("paths").and_then(Value::as_object);
        for (path, item) in paths.unwrap_or(&no_paths) {
            if EXEMPT.contains(&path.as_str()) || path.starts_with("/docs/") {
                continue;
            }
            let siblings: Vec<String> = METHODS
                .iter()
                .filter(|method| item.get(**method).is_some())
                .map(|method| (*method).to_owned())
                .collect();
            for method in &siblings {
                let operation = document.operation(path, method, item, &siblings, public);
                document.operations.push(operation);
            }
        }
        document
    }

    fn operation(
        &self,
        path: &str,
        method: &str,
        item: &Value,
        siblings: &[String],
        public: &[String],
    ) -> Operation {
        let operation = item.get(method).unwrap_or(&Value::Null);
        let security = operation.get("security").or(self.root.get("security"));
        let needs_nothing = security.and_then(Value::as_array).is_some_and(|ways| {
            let is_nothing = |way: &Value| way.as_object().is_some_and(Map::is_empty);
            ways.is_empty() || ways.iter().any(is_nothing)
        });
        let access = if needs_nothing || public.iter().any(|listed| listed == path) {
            Access::Public
        } else if operation.get("x-permission") == Some(&Value::from("operator")) {
            Access::Operator
        } else if operation.get("x-permission") == Some(&Value::from("open_id")) {
            Access::OpenId
        } else if path.starts_with("/internal/") {
            Access::Service
        } else {
            Access::User
        };
        let parameters = [item.get("parameters"), operation.get("parameters")]
            .into_iter()
            .flatten()
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(|parameter| self.parameter(parameter))
            .collect();
        Operation {
            method: method.to_owned(),
            path: path.to_owned(),
            access,
            parameters,
            body: operation.get("requestBody").map(|body| self.body(body)),
            permission: operation.get("x-permission").cloned(),
            store_scope: operation
                .get("x-store-scope")
                .and_then(Value::as_str)
                .map(ToOwned::to_owned),
            answers: Answers::read(operation),
            siblings: siblings.to_vec(),
        }
    }

    fn parameter(&self, parameter: &Value) -> Option<Parameter> {
        let parameter = self.resolve(parameter);
        let place = match parameter.get("in")?.as_str()? {
            "path" => Place::Path,
            "query" => Place::Query,
            "header" => Place::Header,
            _ => return None,
        };
        Some(Parameter {
            name: parameter.get("name")?.as_str()?.to_owned(),
            place,
            required: parameter.get("required") == Some(&Value::Bool(true)),
            schema: parameter.get("schema").cloned().unwrap_or(Value::Null),
        })
    }

    fn body(&self, body: &Value) -> Body {
        let body = self.resolve(body);
        let content = body.get("content").and_then(Value::as_object);
        let media_types = content.map(|content| content.keys().cloned().collect());
        let json = content.and_then(|content| content.get("application/json"));
        Body {
            required: body.get("required") == Some(&Value::Bool(true)),
            media_types: media_types.unwrap_or_default(),
            schema: json.and_then(|json| json.get("schema")).cloned(),
        }
    }

    /// The value that the test gave for a property or parameter.
    pub(crate) fn known(&self, name: &str) -> Option<&Value> {
        self.known.get(name)
    }

    /// Follows references, joins `allOf`, and drops the `null` alternative of a schema.
    pub(crate) fn resolve(&self, schema: &Value) -> Value {
        self.resolve_at(schema, 0)
    }

    fn resolve_at(&self, schema: &Value, depth: usize) -> Value {
        if depth > MAX_DEPTH {
            return Value::Null;
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let pointer = target.trim_start_matches('#');
            let target = self.root.pointer(pointer).unwrap_or(&Value::Null);
            return self.resolve_at(target, depth + 1);
        }
        if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
            return self.join(schema, parts, depth);
        }
        if let [only] = self.alternatives(schema).as_slice() {
            return self.resolve_at(only, depth + 1);
        }
        schema.clone()
    }

    fn join(&self, schema: &Value, parts: &[Value], depth: usize) -> Value {
        let mut joined = schema.as_object().cloned().unwrap_or_default();
        joined.remove("allOf");
        for part in parts {
            let part = self.resolve_at(part, depth + 1);
            for (key, value) in part.as_object().cloned().unwrap_or_default() {
                match (joined.get_mut(&key), value) {
                    (Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
                    (Some(Value::Array(old)), Value::Array(new)) => old.extend(new),
                    (Some(_), _) => {}
                    (None, value) => {
                        joined.insert(key, value);
                    }
                }
            }
        }
        Value::Object(joined)
    }

    /// The members of `oneOf` or `anyOf` that are not `null`.
    pub(crate) fn alternatives(&self, schema: &Value) -> Vec<Value> {
        let members = schema.get("oneOf").or(schema.get("anyOf"));
        let members = members.and_then(Value::as_array);
        members
            .into_iter()
            .flatten()
            .filter(|member| member.get("type") != Some(&Value::from("null")))
            .cloned()
            .collect()
    }

    /// Whether `null` is a value of the schema.
    pub(crate) fn is_nullable(schema: &Value) -> bool {
        let null = Value::from("null");
        let listed = match schema.get("type") {
            Some(Value::Array(types)) => types.contains(&null),
            Some(one) => *one == null,
            None => false,
        };
        let members = schema.get("oneOf").or(schema.get("anyOf"));
        let members = members.and_then(Value::as_array);
        listed
            || members
                .into_iter()
                .flatten()
                .any(|member| member.get("type") == Some(&null))
    }
}

/// The one type of a resolved schema, `null` aside; empty when it has none or several.
pub(crate) fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(one)) => one,
        Some(Value::Array(types)) => {
            let mut types = types.iter().filter_map(Value::as_str);
            let mut others = types.by_ref().filter(|name| *name != "null");
            match (others.next(), others.next()) {
                (Some(one), None) => one,
                _ => "",
            }
        }
        None if schema.get("properties").is_some() => "object",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_says_so_needs_no_token() {
        let security = json!([{"bearer": []}]);
        let root = json!({"paths": {
            "/api/a": {"get": {"security": security}, "post": {}},
            "/api/b": {"get": {"security": []}, "post": {"security": [{}, {"bearer": []}]}},
            "/api/c": {"get": {}},
            "/internal/d": {"post": {}},
            "/metrics": {"get": {}},
        }});
        let document = Document::read(&root, &["/api/c".to_owned()], &BTreeMap::new());
        let access: Vec<(String, Access)> = document
            .operations
            .iter()
            .map(|operation| (operation.title(), operation.access))
            .collect();
        let expected = [
            ("GET /api/a", Access::User),
            ("POST /api/a", Access::User),
            ("GET /api/b", Access::Public),
            ("POST /api/b", Access::Public),
            ("GET /api/c", Access::Public),
            ("POST /internal/d", Access::Service),
        ];
        assert_eq!(
            access,
            expected.map(|(title, access)| (title.to_owned(), access))
        );
    }

    #[test]
    fn a_refusal_is_a_problem_document_unless_the_document_says_otherwise() {
        let problem = json!({"schema": {"$ref": "#/components/schemas/Problem"}});
        let root = json!({"paths": {
            "/a": {"get": {"responses": {"400": {"content": {"application/json": problem}}}}},
            "/b": {"get": {"responses": {
                "303": {}, "4XX": {"content": {"text/html": {"schema": {"type": "string"}}}},
            }}},
        }});
        let document = Document::read(&root, &[], &BTreeMap::new());
        let [usual, page] = document.operations.as_slice() else {
            panic!("two operations");
        };
        assert!(!usual.answers.has_own_refusals() && page.answers.has_own_refusals());
        assert!(!usual.answers.has_form(400, "application/json"));
        assert!(page.answers.has_form(404, "text/html; charset=utf-8"));
        assert!(!page.answers.has_form(503, "text/html"));
        assert!(page.answers.has(303) && !usual.answers.has(303));
    }

    #[test]
    fn references_are_followed_and_joined() {
        let root = json!({"components": {"schemas": {
            "Id": {"type": "string", "format": "uuid"},
            "Base": {"type": "object", "required": ["id"], "properties": {"id": {"$ref": "#/components/schemas/Id"}}},
            "Loop": {"$ref": "#/components/schemas/Loop"},
        }}});
        let document = Document::read(&root, &[], &BTreeMap::new());
        let optional = json!({"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Id"}]});
        assert_eq!(document.resolve(&optional)["format"], "uuid");
        assert!(Document::is_nullable(&optional));
        let joined = document.resolve(&json!({"allOf": [
            {"$ref": "#/components/schemas/Base"},
            {"type": "object", "required": ["note"], "properties": {"note": {"type": "string"}}},
        ]}));
        assert_eq!(joined["required"], json!(["id", "note"]));
        assert!(joined["properties"]["id"].is_object() && joined["properties"]["note"].is_object());
        assert!(
            document
                .resolve(&json!({"$ref": "#/components/schemas/Loop"}))
                .is_null()
        );
    }
}
