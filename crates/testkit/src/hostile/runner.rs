//! Sends cases and collects what is wrong with the answers.

use std::time::Duration;

use common::auth::OPENID_SCOPE;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use super::answer::{Answer, Expect};
use super::document::{Access, Answers, Document, Operation, Place};
use super::sample::Fill;
use super::{Hostile, Report, Violation, oversize};
use crate::client::ApiClient;

/// One request, and what its answer must be.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) method: String,
    /// Path and query, encoded.
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) expect: Expect,
    /// What the document says of the answers.
    pub(super) documented: Answers,
    /// Sent byte by byte over a bare connection, for bodies that the service must not read.
    pub(super) oversize: Option<oversize::Framing>,
}

impl Case {
    pub(super) fn named(mut self, name: impl Into<String>, expect: Expect) -> Self {
        self.name = name.into();
        self.expect = expect;
        self
    }

    pub(super) fn json(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string().into_bytes());
        self
    }

    /// Replaces a header; an empty list removes it.
    pub(super) fn header(mut self, name: &str, values: &[String]) -> Self {
        self.headers.retain(|(known, _)| known != name);
        let values = values.iter().map(|value| (name.to_owned(), value.clone()));
        self.headers.extend(values);
        self
    }
}

pub(super) struct Runner<'a> {
    pub(super) settings: &'a Hostile,
    pub(super) random: TestRunner,
    client: ApiClient,
    title: String,
    requests: usize,
    good_answers: Vec<(String, u16)>,
    violations: Vec<Violation>,
}

impl<'a> Runner<'a> {
    pub(super) fn new(settings: &'a Hostile, client: &ApiClient) -> Self {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&settings.seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        Self {
            settings,
            random: TestRunner::new_with_rng(Config::default(), rng),
            client: client.without_token(),
            title: String::new(),
            requests: 0,
            good_answers: Vec::new(),
            violations: Vec::new(),
        }
    }

    pub(super) fn into_report(self, operations: usize) -> Report {
        Report {
            operations,
            requests: self.requests,
            seed: self.settings.seed,
            good_answers: self.good_answers,
            violations: self.violations,
        }
    }

    /// The token that an operation must accept.
    pub(super) fn good_token(&self, access: Access) -> Option<String> {
        let identity = &self.settings.identity;
        match access {
            Access::Public => None,
            Access::User => Some(identity.owner()),
            Access::OpenId => Some(identity.delegated(OPENID_SCOPE)),
            Access::Service | Access::Operator => {
                Some(identity.service(&self.settings.internal_caller))
            }
        }
    }

    /// A request as the document describes it, with fresh ids.
    pub(super) fn good_case(&self, document: &Document, operation: &Operation, fill: Fill) -> Case {
        let mut path = operation.path.clone();
        let mut query = Vec::new();
        let mut headers = Vec::new();
        for parameter in &operation.parameters {
            let known = match parameter.place {
                Place::Path => document.known(&operation.path),
                Place::Query | Place::Header => None,
            };
            let known = known.or_else(|| document.known(&parameter.name));
            let value = match known {
                Some(known) => as_text(known),
                None => as_text(&document.sample(&parameter.schema, fill)),
            };
            let wanted = parameter.required || fill == Fill::Everything;
            match parameter.place {
                Place::Path => {
                    path = path.replace(&format!("{{{}}}", parameter.name), &encode(&value));
                }
                // A cursor is what a list handed out; no schema can describe one.
                Place::Query if wanted && parameter.name != "cursor" => {
                    query.push(format!("{}={}", parameter.name, encode(&value)));
                }
                Place::Header if wanted => headers.push((parameter.name.to_lowercase(), value)),
                Place::Query | Place::Header => {}
            }
        }
        if operation.method != "get" {
            headers.retain(|(name, _)| name != "idempotency-key");
            headers.push(("idempotency-key".to_owned(), Uuid::new_v4().to_string()));
        }
        if let Some(token) = self.good_token(operation.access) {
            headers.push(("authorization".to_owned(), format!("Bearer {token}")));
        }
        let schema = operation
            .body
            .as_ref()
            .and_then(|body| body.schema.as_ref());
        let body = schema.map(|schema| document.sample(schema, fill).to_string().into_bytes());
        if body.is_some() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let separator = if query.is_empty() { "" } else { "?" };
        Case {
            name: "a good request".to_owned(),
            method: operation.method.clone(),
            target: format!("{path}{separator}{}", query.join("&")),
            headers,
            body,
            expect: Expect::Understood,
            documented: operation.answers.clone(),
            oversize: None,
        }
    }

    /// The document must be true: what it describes must be understood.
    pub(super) async fn good_requests(&mut self, document: &Document, operation: &Operation) {
        self.title = operation.title();
        for (fill, name) in [
            (Fill::Required, "a good request with what is required"),
            (Fill::Everything, "a good request with everything"),
        ] {
            let expect = match operation.access {
                // Who may log in or get a token is not in the document.
                Access::Public => Expect::Orderly,
                Access::User | Access::OpenId | Access::Service | Access::Operator => {
                    Expect::Understood
                }
            };
            let case = self.good_case(document, operation, fill);
            if let Some(status) = self.send(case.named(name, expect)).await {
                self.good_answers.push((operation.title(), status));
            }
        }
    }

    pub(super) async fn unknown_path(&mut self) {
        "GET /no/such/path".clone_into(&mut self.title);
        let case = Case {
            name: "a path that does not exist".to_owned(),
            method: "get".to_owned(),
            target: "/no/such/path".to_owned(),
            headers: Vec::new(),
            body: None,
            expect: Expect::OneOf(&[404]),
            documented: Answers::default(),
            oversize: None,
        };
        self.send(case).await;
    }

    /// After all this the service must still work.
    pub(super) async fn still_alive(&mut self) {
        "GET /health".clone_into(&mut self.title);
        let request = self.client.request(Method::GET, "/health");
        let answer = request.timeout(self.settings.patience).send().await;
        if !answer.is_ok_and(|answer| answer.status().is_success()) {
            self.violation("after everything", "the service is not healthy any more");
        }
    }

    /// Sends a case, judges the answer, and returns its status if there is one.
    pub(super) async fn send(&mut self, case: Case) -> Option<u16> {
        self.requests += 1;
        let patience = self.settings.patience;
        let answer = match tokio::time::timeout(patience, self.exchange(&case)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                self.violation(&case.name, &format!("no answer: {error}"));
                return None;
            }
            Err(_elapsed) => {
                self.violation(&case.name, &format!("no answer in {patience:?}: a hang"));
                return None;
            }
        };
        let faults = answer.faults(case.expect, &case.documented, &secrets(&case));
        if !faults.is_empty() {
            self.violation(&case.name, &faults.join("; "));
        }
        Some(answer.status)
    }

    async fn exchange(&self, case: &Case) -> Result<Answer, String> {
        if let Some(framing) = case.oversize {
            return oversize::exchange(self.client.base(), case, framing).await;
        }
        let method: Method = case.method.to_uppercase().parse().map_err(show)?;
        // The limit of this driver counts, not the client's.
        let mut request = self
            .client
            .request(method, &case.target)
            .timeout(Duration::from_secs(3_600));
        for (name, value) in &case.headers {
            // As bytes: some of them are no ASCII on purpose.
            request = request.header(name, value.as_bytes());
        }
        if let Some(body) = &case.body {
            request = request.body(body.clone());
        }
        let response = request.send().await.map_err(show)?;
        let headers = response.headers().iter();
        Ok(Answer {
            status: response.status().as_u16(),
            headers: headers
                .map(|(name, value)| {
                    (
                        name.to_string(),
                        String::from_utf8_lossy(value.as_bytes()).into_owned(),
                    )
                })
                .collect(),
            body: response.bytes().await.map_err(show)?.to_vec(),
        })
    }

    pub(super) fn violation(&mut self, case: &str, fault: &str) {
        self.violations.push(Violation {
            operation: self.title.clone(),
            case: case.to_owned(),
            fault: fault.to_owned(),
        });
    }
}

/// The signatures of the tokens sent: long enough not to appear by chance.
fn secrets(case: &Case) -> Vec<String> {
    let authorization = case
        .headers
        .iter()
        .filter(|(name, _)| name == "authorization");
    authorization
        .filter_map(|(_, value)| value.rsplit('.').next())
        .filter(|signature| signature.len() > 20)
        .map(ToOwned::to_owned)
        .collect()
}

fn show(error: impl std::error::Error + 'static) -> String {
    common::error::ErrorChain(&error).to_string()
}

/// A sample as it stands in a path, a query or a header.
pub(crate) fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Percent-encodes everything but unreserved characters (RFC 3986, section 2.3).
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            encoded.push(char::from(byte));
        } else if byte == b'.' && text != "." && text != ".." {
            encoded.push('.');
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}
