//! Good values, built from a schema.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::document::{Document, type_of};

/// Objects inside objects, before a schema counts as endless.
const MAX_DEPTH: usize = 8;

/// Which properties a sample has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    Required,
    Everything,
}

impl Document {
    /// A value that the schema accepts, with fresh ids and fresh texts.
    pub(crate) fn sample(&self, schema: &Value, fill: Fill) -> Value {
        self.sample_at(schema, fill, 0)
    }

    fn sample_at(&self, schema: &Value, fill: Fill, depth: usize) -> Value {
        let schema = self.resolve(schema);
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        if let Some(first) = schema.get("enum").and_then(|values| values.get(0)) {
            return first.clone();
        }
        if let Some(first) = self.alternatives(&schema).first() {
            return self.sample_at(first, fill, depth + 1);
        }
        let kind = type_of(&schema);
        if kind != "object"
            && let Some(example) = example(&schema)
        {
            return example;
        }
        match kind {
            "object" if depth < MAX_DEPTH => self.object(&schema, fill, depth),
            "object" => json!({}),
            "array" => self.array(&schema, fill, depth),
            "string" => Value::String(text(&schema)),
            "integer" | "number" => number(&schema),
            "boolean" => Value::Bool(true),
            _ => Value::Null,
        }
    }

    fn object(&self, schema: &Value, fill: Fill, depth: usize) -> Value {
        let required = required(schema);
        let properties = schema.get("properties").and_then(Value::as_object);
        let mut object = Map::new();
        for (name, property) in properties.into_iter().flatten() {
            if fill == Fill::Everything || required.contains(&name.as_str()) {
                let known = self.known(name).cloned();
                let value = known.unwrap_or_else(|| self.sample_at(property, fill, depth + 1));
                object.insert(name.clone(), value);
            }
        }
        Value::Object(object)
    }

    fn array(&self, schema: &Value, fill: Fill, depth: usize) -> Value {
        if depth >= MAX_DEPTH {
            return json!([]);
        }
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        let item = schema.get("items").unwrap_or(&Value::Null);
        let count = least.clamp(1, 50);
        (0..count)
            .map(|_| self.sample_at(item, fill, depth + 1))
            .collect()
    }
}

/// The names of the required properties of a resolved schema.
pub(crate) fn required(schema: &Value) -> Vec<&str> {
    let names = schema.get("required").and_then(Value::as_array);
    names
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn example(schema: &Value) -> Option<Value> {
    // A fixed id would meet the same object in every case.
    if schema.get("format").is_some_and(|format| format == "uuid") {
        return None;
    }
    let listed = schema.get("examples").and_then(|examples| examples.get(0));
    listed.or(schema.get("example")).cloned()
}

fn text(schema: &Value) -> String {
    let unique = Uuid::new_v4();
    let format = schema.get("format").and_then(Value::as_str);
    match format.unwrap_or_default() {
        "uuid" => return unique.to_string(),
        "date-time" => return "2026-03-01T09:30:00Z".to_owned(),
        "date" => return "2026-03-01".to_owned(),
        "email" => return format!("person-{}@example.com", unique.simple()),
        "uri" | "url" => return "http://127.0.0.1:9/".to_owned(),
        _ => {}
    }
    let bound = |name: &str| {
        let bound = schema.get(name).and_then(Value::as_u64);
        bound.and_then(|bound| usize::try_from(bound).ok())
    };
    let mut text = format!("t{}", unique.simple());
    while text.len() < bound("minLength").unwrap_or(0) {
        text.push('x');
    }
    text.truncate(bound("maxLength").unwrap_or(64).max(1));
    text
}

fn number(schema: &Value) -> Value {
    let least = schema.get("minimum").and_then(Value::as_i64).unwrap_or(1);
    let most = schema.get("maximum").and_then(Value::as_i64);
    json!(least.max(1).min(most.unwrap_or(i64::MAX)))
}
