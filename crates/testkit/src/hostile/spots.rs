//! The places of a body, and what does not belong there.

use serde_json::{Value, json};

use super::answer::Expect;
use super::document::{Document, type_of};
use super::sample::required;

/// What a body may be answered that cannot be read. Throttled operations may answer 429 to anything.
pub(super) const REFUSED: Expect = Expect::OneOf(&[400, 422, 429]);

/// A place in a body and what the document says of it.
pub(super) struct Spot {
    pub(super) pointer: String,
    pub(super) schema: Value,
    nullable: bool,
    required: bool,
}

/// Every place of the sample, the whole included, with its schema.
pub(super) fn spots_of(
    document: &Document,
    schema: &Value,
    sample: &Value,
    pointer: &str,
    spots: &mut Vec<Spot>,
) {
    spots_below(document, schema, sample, pointer, true, spots);
}

fn spots_below(
    document: &Document,
    schema: &Value,
    sample: &Value,
    pointer: &str,
    is_required: bool,
    spots: &mut Vec<Spot>,
) {
    let resolved = document.resolve(schema);
    spots.push(Spot {
        pointer: pointer.to_owned(),
        nullable: Document::is_nullable(schema) || Document::is_nullable(&resolved),
        schema: resolved.clone(),
        required: is_required,
    });
    match sample {
        Value::Object(members) => {
            let names = required(&resolved);
            for (name, value) in members {
                let property = resolved.get("properties").and_then(|all| all.get(name));
                if let Some(property) = property {
                    let below = format!("{pointer}/{name}");
                    let needed = names.contains(&name.as_str());
                    spots_below(document, property, value, &below, needed, spots);
                }
            }
        }
        Value::Array(items) => {
            if let (Some(item), Some(first)) = (resolved.get("items"), items.first()) {
                spots_below(document, item, first, &format!("{pointer}/0"), true, spots);
            }
        }
        _ => {}
    }
}

type Named = (&'static str, Value);

/// Values that do not belong to a place: of another type, or of the right type and nasty.
pub(super) fn wrong_values(
    document: &Document,
    spot: &Spot,
) -> impl Iterator<Item = (&'static str, Value, Expect)> {
    let schema = &spot.schema;
    // One of several forms: what belongs to none of them cannot be told from here.
    let is_open = document.alternatives(schema).len() > 1;
    let refused = if is_open { Expect::Orderly } else { REFUSED };
    let mut wrong = of_another_type(schema);
    if spot.required && !spot.nullable && !type_of(schema).is_empty() {
        wrong.push(("is null", Value::Null));
    }
    wrong.extend(of_another_format(schema));
    let wrong = wrong
        .into_iter()
        .map(move |(what, value)| (what, value, refused));
    let nasty = nasty(schema).into_iter();
    wrong.chain(nasty.map(|(what, value)| (what, value, Expect::Orderly)))
}

fn of_another_type(schema: &Value) -> Vec<Named> {
    let number = ("is a number", json!(5));
    let text = ("is a text", json!("5"));
    let flag = ("is true", json!(true));
    let object = ("is an object", json!({}));
    let list = ("is a list", json!([]));
    match type_of(schema) {
        "string" => vec![number, flag, object, list],
        "integer" => vec![
            text,
            flag,
            object,
            list,
            ("is a fraction", json!(1.5)),
            ("is beyond every integer", json!(1e30)),
        ],
        "number" => vec![text, flag, object, list],
        "boolean" => vec![text, number, object, list],
        "array" => vec![text, number, flag, object],
        // serde also reads a struct from a list of its members; so many it never has.
        "object" => vec![text, number, flag, ("is a long list", json!(vec![(); 100]))],
        _ => Vec::new(),
    }
}

fn of_another_format(schema: &Value) -> Option<Named> {
    let format = schema.get("format").and_then(Value::as_str);
    match (type_of(schema), format.unwrap_or_default()) {
        ("string", _) if schema.get("enum").is_some() => {
            Some(("is no value of the list", json!("no_such_value")))
        }
        ("string", "uuid") => Some(("is no id", json!("not-an-id"))),
        ("string", "date") => Some(("is no date", json!("2026-02-30"))),
        ("string", "date-time") => Some(("is no time", json!("yesterday"))),
        _ => None,
    }
}

fn nasty(schema: &Value) -> Vec<Named> {
    match type_of(schema) {
        "string" => vec![
            ("is empty", json!("")),
            ("is very long", json!("x".repeat(20_000))),
            ("holds a NUL", json!("a\u{0}b")),
            ("holds other controls", json!("a\r\n\u{1b}[31m\u{202e}b")),
            ("holds quotes", json!("'; -- \" ` ${x} {{x}} %s")),
            ("holds a lone accent", json!("e\u{301}\u{fffd}🍕")),
        ],
        "integer" => vec![
            ("is the least integer", json!(i64::MIN)),
            ("is the largest integer", json!(i64::MAX)),
            ("is larger than that", json!(u64::MAX)),
            ("is zero", json!(0)),
            ("is negative", json!(-1)),
        ],
        "array" => vec![
            ("is empty", json!([])),
            ("holds a null", json!([null])),
            ("holds lists", json!([[[[]]]])),
        ],
        "object" => vec![("is empty", json!({})), ("is an empty list", json!([]))],
        _ => Vec::new(),
    }
}
