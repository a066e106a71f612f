//! Bodies that are wrong in one place.

use serde_json::{Value, json};

use super::answer::Expect;
use super::document::{Access, Body, Document, Operation, type_of};
use super::oversize::Framing;
use super::runner::Runner;
use super::sample::{Fill, required};
use super::spots::{REFUSED, Spot, spots_of, wrong_values};

const TOO_LARGE: Expect = Expect::OneOf(&[413, 429]);
const WRONG_MEDIA_TYPE: Expect = Expect::OneOf(&[415, 429]);
/// A body that is too large, in bytes.
const OVERSIZE: usize = 2 << 20;

impl Runner<'_> {
    pub(super) async fn body_cases(&mut self, document: &Document, operation: &Operation) {
        let Some(body) = &operation.body else { return };
        self.media_type_cases(document, operation, body).await;
        let Some(schema) = &body.schema else { return };
        let sample = document.sample(schema, Fill::Everything);
        self.malformed_cases(document, operation, &sample).await;
        self.oversize_cases(document, operation, &sample).await;

        let mut spots = Vec::new();
        spots_of(document, schema, &sample, "", &mut spots);
        for spot in &spots {
            let fresh = document.sample(schema, Fill::Everything);
            for (what, wrong, expect) in wrong_values(document, spot) {
                let mut body = fresh.clone();
                if let Some(place) = body.pointer_mut(&spot.pointer) {
                    *place = wrong;
                    let name = format!("{} {what}", shown(&spot.pointer));
                    self.send_body(document, operation, &body, name, expect)
                        .await;
                }
            }
            if type_of(&spot.schema) == "object" {
                self.member_cases(document, operation, &fresh, spot).await;
            }
        }
    }

    /// Members that are too many or too few.
    async fn member_cases(
        &mut self,
        document: &Document,
        operation: &Operation,
        sample: &Value,
        spot: &Spot,
    ) {
        let members = |body: &mut Value, change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
            if let Some(object) = body
                .pointer_mut(&spot.pointer)
                .and_then(Value::as_object_mut)
            {
                change(object);
            }
        };
        let place = shown(&spot.pointer);
        let is_open = is_open(&spot.schema) || self.settings.open_bodies.contains(&operation.path);
        if spot.schema.get("properties").is_some() && !is_open {
            let mut body = sample.clone();
            members(&mut body, &|object| {
                object.insert("no_such_member".to_owned(), json!(1));
            });
            let name = format!("{place} with an unknown member");
            self.send_body(document, operation, &body, name, REFUSED)
                .await;
        }
        for missing in required(&spot.schema) {
            let mut body = sample.clone();
            members(&mut body, &|object| {
                object.remove(missing);
            });
            let name = format!("{place} without {missing}");
            self.send_body(document, operation, &body, name, REFUSED)
                .await;
        }
    }

    async fn malformed_cases(
        &mut self,
        document: &Document,
        operation: &Operation,
        sample: &Value,
    ) {
        let text = sample.to_string();
        let cut = text.len().saturating_sub(1);
        let cut: String = text.chars().take(cut).collect();
        let bodies: [(&str, Vec<u8>); 9] = [
            ("nothing", Vec::new()),
            ("cut off", cut.into_bytes()),
            ("an open brace", b"{".to_vec()),
            ("no JSON", b"<order/>".to_vec()),
            ("JSON and more", format!("{text}{text}").into_bytes()),
            (
                "bytes that are no text",
                vec![b'{', b'"', 0xff, 0xfe, b'"', b':', b'1', b'}'],
            ),
            ("a byte order mark", format!("\u{feff}{text}").into_bytes()),
            ("ten thousand brackets", vec![b'['; 10_000]),
            ("a text", b"\"text\"".to_vec()),
        ];
        let is_optional = operation.body.as_ref().is_some_and(|body| !body.required);
        for (what, body) in bodies {
            let expect = if body.is_empty() && is_optional {
                Expect::Orderly
            } else {
                REFUSED
            };
            let mut case = self.good_case(document, operation, Fill::Required);
            case.body = Some(body);
            self.send(case.named(format!("body: {what}"), expect)).await;
        }
    }

    async fn oversize_cases(&mut self, document: &Document, operation: &Operation, sample: &Value) {
        let listed = &self.settings.oversize_bytes;
        let listed = listed.iter().rfind(|(path, _)| *path == operation.path);
        let size = listed.map_or(OVERSIZE, |(_, size)| *size);
        // Blanks are valid JSON: only the size is wrong.
        let mut body = sample.to_string().into_bytes();
        body.resize(size, b' ');
        for (what, framing) in [
            ("with its length", Framing::ContentLength),
            ("in chunks", Framing::Chunked),
        ] {
            let mut case = self.good_case(document, operation, Fill::Required);
            case.body = Some(body.clone());
            case.oversize = Some(framing);
            let name = format!("body of {size} bytes, sent {what}");
            self.send(case.named(name, TOO_LARGE)).await;
        }
    }

    async fn media_type_cases(&mut self, document: &Document, operation: &Operation, body: &Body) {
        for media_type in [
            "text/plain",
            "application/xml",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonx",
            "",
        ] {
            if body.media_types.iter().any(|known| known == media_type) {
                continue;
            }
            let values = match media_type {
                "" => Vec::new(),
                value => vec![value.to_owned()],
            };
            let mut case = self.good_case(document, operation, Fill::Required);
            case = case.header("content-type", &values);
            case.body.get_or_insert_with(|| b"{}".to_vec());
            let name = format!("content type {media_type:?}");
            let expect = if body.required && !operation.answers.has_own_refusals() {
                WRONG_MEDIA_TYPE
            } else {
                Expect::Orderly
            };
            self.send(case.named(name, expect)).await;
        }
    }

    pub(super) async fn send_body(
        &mut self,
        document: &Document,
        operation: &Operation,
        body: &Value,
        name: String,
        expect: Expect,
    ) {
        let case = self.good_case(document, operation, Fill::Required);
        self.send(case.json(body).named(name, expect)).await;
    }

    /// Random changes of a good body, sent by everybody; every answer must be orderly.
    pub(super) async fn random_cases(&mut self, document: &Document, operation: &Operation) {
        let schema = operation
            .body
            .as_ref()
            .and_then(|body| body.schema.as_ref());
        for number in 0..self.settings.random_cases {
            let mut case = self.good_case(document, operation, Fill::Everything);
            if let Some(schema) = schema {
                let sample = document.sample(schema, Fill::Everything);
                case = case.json(&self.mutated(sample));
            } else {
                case = self.mutated_target(case);
            }
            if number % 8 == 7 && operation.access == Access::User {
                let stranger = self.settings.identity.user(&[], Default::default());
                case = case.header("authorization", &[format!("Bearer {stranger}")]);
            }
            let sent = case.body.as_deref().map(String::from_utf8_lossy);
            let sent = sent.map_or_else(|| case.target.clone(), |body| body.into_owned());
            let sent: String = sent.chars().take(300).collect();
            let name = format!("random case {number}: {sent}");
            self.send(case.named(name, Expect::Orderly)).await;
        }
    }
}

/// Whether the schema says that other members are welcome.
fn is_open(schema: &Value) -> bool {
    schema
        .get("additionalProperties")
        .is_some_and(|others| *others != Value::Bool(false))
}

fn shown(pointer: &str) -> &str {
    if pointer.is_empty() { "body" } else { pointer }
}
