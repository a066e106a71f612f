//! Paths, queries, headers and methods that are wrong in one place.

use serde_json::Value;
use uuid::Uuid;

use super::answer::Expect;
use super::document::{Document, Operation, Parameter, Place, type_of};
use super::runner::{Case, Runner, encode};
use super::sample::Fill;

/// What a path may be answered that names nothing.
const NOT_FOUND: Expect = Expect::OneOf(&[400, 404]);
/// What a parameter may be answered that cannot be read or is not acceptable.
const REFUSED: Expect = Expect::OneOf(&[400, 404, 422, 429]);

impl Runner<'_> {
    pub(super) async fn request_cases(&mut self, document: &Document, operation: &Operation) {
        for parameter in &operation.parameters {
            match parameter.place {
                Place::Path => self.path_cases(document, operation, parameter).await,
                Place::Query => self.query_cases(document, operation, parameter).await,
                Place::Header => self.header_cases(document, operation, parameter).await,
            }
        }
        if operation
            .parameters
            .iter()
            .any(|parameter| parameter.place == Place::Query)
        {
            let good = self.good_case(document, operation, Fill::Required);
            let case = with_query(good, "no_such_parameter=1");
            // RFC 6749, section 3.1, has them ignored.
            let expect = match operation.answers.has_own_refusals() {
                true => Expect::Orderly,
                false => REFUSED,
            };
            self.send(case.named("an unknown query parameter", expect))
                .await;
        }
        self.odd_requests(document, operation).await;
    }

    async fn path_cases(
        &mut self,
        document: &Document,
        operation: &Operation,
        parameter: &Parameter,
    ) {
        let schema = document.resolve(&parameter.schema);
        let is_id = schema.get("format").is_some_and(|format| format == "uuid");
        let long = "a".repeat(4_000);
        let trailing = format!("{}x", Uuid::new_v4());
        for value in [
            "not-an-id",
            "0",
            "-1",
            "..",
            "../../etc",
            "%",
            "\u{0}",
            "';--",
            "{id}",
            "é☃",
            " ",
            long.as_str(),
            trailing.as_str(),
        ] {
            let expect = if is_id { NOT_FOUND } else { Expect::Orderly };
            let placeholder = format!("{{{}}}", parameter.name);
            let path = operation.path.replace(&placeholder, &encode(value));
            let changed = Operation {
                path,
                ..operation.clone()
            };
            let case = self.good_case(document, &changed, Fill::Required);
            let shown: String = value.chars().take(20).collect();
            let name = format!("path {}={shown:?}", parameter.name);
            self.send(case.named(name, expect)).await;
        }
    }

    async fn query_cases(
        &mut self,
        document: &Document,
        operation: &Operation,
        parameter: &Parameter,
    ) {
        let schema = document.resolve(&parameter.schema);
        let name = &parameter.name;
        let mut cases = vec![("%FF%FE".to_owned(), Expect::Orderly)];
        cases.extend(wrong_texts(&schema).map(|text| (encode(text), REFUSED)));
        let odd = [
            "",
            "\u{0}",
            "9223372036854775808",
            "-1",
            "0",
            "'--",
            "\u{202e}☃",
        ];
        cases.extend(odd.map(|text| (encode(text), Expect::Orderly)));
        cases.push(("a".repeat(8_000), Expect::Orderly));
        if name == "cursor" {
            let broken = ["x", "AAAA", "bnVsbA", "W10", "eyJhIjoxfQ"];
            cases.extend(broken.map(|text| (text.to_owned(), REFUSED)));
        }
        for (value, expect) in cases {
            let good = without_query(self.good_case(document, operation, Fill::Required), name);
            let case = with_query(good, &format!("{name}={value}"));
            let shown: String = value.chars().take(24).collect();
            self.send(case.named(format!("query {name}={shown}"), expect))
                .await;
        }
        if parameter.required {
            let case = without_query(self.good_case(document, operation, Fill::Required), name);
            self.send(case.named(format!("query without {name}"), REFUSED))
                .await;
        }
    }

    async fn header_cases(
        &mut self,
        document: &Document,
        operation: &Operation,
        parameter: &Parameter,
    ) {
        let name = parameter.name.to_lowercase();
        if name != "idempotency-key" {
            return;
        }
        let fresh = || Uuid::new_v4().to_string();
        let mut cases = vec![
            ("empty", vec![String::new()], REFUSED),
            ("too long", vec!["k".repeat(256)], REFUSED),
            ("with a blank", vec!["a b".to_owned()], REFUSED),
            ("not ASCII", vec!["schlüssel".to_owned()], REFUSED),
            ("sent twice", vec![fresh(), fresh()], REFUSED),
            ("of full length", vec!["k".repeat(255)], Expect::Orderly),
        ];
        if parameter.required {
            cases.push(("missing", Vec::new(), REFUSED));
        }
        for (fault, values, expect) in cases {
            let good = self.good_case(document, operation, Fill::Required);
            let case = good.header(&name, &values);
            self.send(case.named(format!("Idempotency-Key {fault}"), expect))
                .await;
        }
    }

    async fn odd_requests(&mut self, document: &Document, operation: &Operation) {
        let good = |runner: &Self| runner.good_case(document, operation, Fill::Required);
        for method in ["patch", "delete", "trace"] {
            if !operation.siblings.iter().any(|sibling| sibling == method) {
                let case = Case {
                    method: method.to_owned(),
                    ..good(self)
                };
                let expect = Expect::OneOf(&[404, 405]);
                self.send(case.named(format!("method {method}"), expect))
                    .await;
            }
        }
        for (name, value) in [
            ("x-request-id", "\"><script>"),
            ("x-request-id", "r".repeat(5_000).as_str()),
            ("traceparent", "00-zz-zz-zz"),
            ("x-request-deadline-ms", "-1"),
            ("x-user-token", "a.b.c"),
            ("accept", "text/html"),
            ("content-encoding", "br"),
        ] {
            let case = good(self).header(name, &[value.to_owned()]);
            let shown: String = value.chars().take(20).collect();
            self.send(case.named(format!("{name}: {shown}"), Expect::Orderly))
                .await;
        }
    }
}

/// Texts that are no value of the schema.
fn wrong_texts(schema: &Value) -> impl Iterator<Item = &'static str> {
    let format = schema
        .get("format")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let is_enum = schema.get("enum").is_some();
    let texts: &[&str] = match (type_of(schema), format) {
        ("integer", _) => &[
            "abc",
            "1.5",
            "1e3",
            "99999999999999999999",
            "0x10",
            " 1",
            "1 ",
        ],
        ("number", _) => &["abc"],
        ("boolean", _) => &["maybe", "2"],
        ("string", "uuid") => &["abc", "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7g"],
        ("string", "date") => &["yesterday", "2026-02-30", "2026-13-01", "26-01-01"],
        ("string", "date-time") => &["yesterday", "2026-02-30T00:00:00Z"],
        ("string", _) if is_enum => &["no_such_value"],
        _ => &[],
    };
    texts.iter().copied()
}

fn with_query(mut case: Case, pair: &str) -> Case {
    let separator = if case.target.contains('?') { '&' } else { '?' };
    case.target = format!("{}{separator}{pair}", case.target);
    case
}

fn without_query(mut case: Case, name: &str) -> Case {
    let Some((path, query)) = case.target.split_once('?') else {
        return case;
    };
    let start = format!("{name}=");
    let pairs: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.starts_with(&start))
        .collect();
    let separator = if pairs.is_empty() { "" } else { "?" };
    case.target = format!("{path}{separator}{}", pairs.join("&"));
    case
}
