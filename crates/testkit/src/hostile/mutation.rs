//! Random variations, drawn with proptest from the run's seed.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree as _;
use serde_json::{Map, Number, Value};

use super::runner::{Case, Runner, encode};

/// One random change at one random place.
#[derive(Clone, Debug)]
enum Change {
    Replace(Value),
    Remove,
    Duplicate,
    Add(String, Value),
}

impl Runner<'_> {
    fn draw<S: Strategy>(&mut self, strategy: &S) -> S::Value {
        let tree = strategy.new_tree(&mut self.random);
        tree.expect("no strategy here rejects what it generates")
            .current()
    }

    pub(super) fn mutated(&mut self, mut body: Value) -> Value {
        let changes = prop::collection::vec((any::<Index>(), any_change()), 1..4);
        for (place, change) in self.draw(&changes) {
            let mut pointers = Vec::new();
            list_places(&body, String::new(), &mut pointers);
            let pointer = place.get(&pointers).clone();
            apply(&mut body, &pointer, change);
        }
        body
    }

    /// A random query; the path stays, or nothing would be reached.
    pub(super) fn mutated_target(&mut self, mut case: Case) -> Case {
        let pairs = prop::collection::vec((any::<Index>(), any::<String>()), 1..4);
        let (path, query) = case.target.split_once('?').unwrap_or((&case.target, ""));
        let mut names: Vec<&str> = query
            .split('&')
            .filter_map(|pair| pair.split('=').next())
            .collect();
        names.retain(|name| !name.is_empty());
        names.extend(["limit", "cursor"]);
        let pairs: Vec<String> = self
            .draw(&pairs)
            .iter()
            .map(|(name, value)| format!("{}={}", name.get(&names), encode(value)))
            .collect();
        case.target = format!("{path}?{}", pairs.join("&"));
        case
    }
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => any_json().prop_map(Change::Replace),
        1 => Just(Change::Remove),
        1 => Just(Change::Duplicate),
        1 => (any::<String>(), any_json()).prop_map(|(name, value)| Change::Add(name, value)),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| Number::from_f64(number).map_or(Value::Null, Value::Number)),
        any::<String>().prop_map(Value::from),
        Just(Value::from("2026-03-01T09:30:00Z")),
        Just(Value::from("00000000-0000-0000-0000-000000000000")),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn list_places(value: &Value, pointer: String, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                list_places(member, format!("{pointer}/{name}"), places);
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                list_places(item, format!("{pointer}/{number}"), places);
            }
        }
        _ => {}
    }
    places.push(pointer);
}

fn apply(body: &mut Value, pointer: &str, change: Change) {
    match change {
        Change::Replace(value) => {
            if let Some(place) = body.pointer_mut(pointer) {
                *place = value;
            }
        }
        Change::Remove | Change::Duplicate => {
            let Some((parent, last)) = pointer.rsplit_once('/') else {
                return;
            };
            let Some(parent) = body.pointer_mut(parent) else {
                return;
            };
            match (parent, &change) {
                (Value::Object(members), Change::Remove) => {
                    members.remove(&last.replace("~1", "/").replace("~0", "~"));
                }
                (Value::Array(items), Change::Remove) => {
                    items.pop();
                }
                (Value::Array(items), Change::Duplicate) => {
                    items.extend(items.clone());
                }
                _ => {}
            }
        }
        Change::Add(name, value) => match body.pointer_mut(pointer) {
            Some(Value::Object(members)) => {
                members.insert(name, value);
            }
            Some(Value::Array(items)) => items.push(value),
            Some(place) => *place = value,
            None => {}
        },
    }
}
