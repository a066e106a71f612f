//! Attacks every operation of a service's own OpenAPI document and judges every answer.
//!
//! ```no_run
//! # async fn test(client: testkit::ApiClient, identity: testkit::TestIdentity) {
//! let document = client.get("/openapi.json").await.expect(200);
//! testkit::hostile::check_every_endpoint(&client, &document, &identity).await;
//! # }
//! ```
//!
//! For each operation it sends a good request, built from the schema, which must be understood; the
//! same without a token and with forged ones; ids, query parameters, headers and bodies that are
//! wrong in one place; oversized and mistyped bodies; and a bounded number of random variations.
//! Every answer must come in time, be a problem document when it is an error, have a fitting status,
//! and tell nothing about its cause. What the document does not describe is not attacked: the good
//! request is what shows that the document is true.

mod answer;
mod auth_cases;
mod body_cases;
pub(crate) mod document;
mod mutation;
mod oversize;
mod request_cases;
pub(crate) mod runner;
pub(crate) mod sample;
mod spots;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::client::ApiClient;
use crate::identity::TestIdentity;
use document::Document;
use runner::Runner;

/// Environment variable that repeats a run with a seed that was printed.
pub const SEED_VARIABLE: &str = "MARU_HOSTILE_SEED";

/// Violations of one operation that a report shows; the rest is counted.
const SHOWN_EACH: usize = 12;

/// Attacks every operation of `document` and fails the test if one answer is not as it must be.
/// Only operations whose `security` in the document is empty, or allows `{}`, need no token; an
/// operation that says nothing about it needs one, and [`Hostile::public`] makes exceptions.
///
/// # Panics
/// With the list of everything that was wrong.
pub async fn check_every_endpoint(
    client: &ApiClient,
    document: &Value,
    identity: &TestIdentity,
) -> Report {
    let report = Hostile::new(identity).run(client, document).await;
    report.assert_clean();
    report
}

/// A driver with exceptions.
#[derive(Clone)]
pub struct Hostile {
    identity: TestIdentity,
    public: Vec<String>,
    patience: Duration,
    random_cases: u32,
    seed: u64,
    internal_caller: String,
    oversize_bytes: Vec<(String, usize)>,
    open_bodies: Vec<String>,
    known: BTreeMap<String, Value>,
}

impl Hostile {
    /// The usual rules, tokens from `identity`, and a seed from [`SEED_VARIABLE`] or a fresh one.
    ///
    /// # Panics
    /// When the variable holds no number.
    #[must_use]
    pub fn new(identity: &TestIdentity) -> Self {
        let seed = match std::env::var(SEED_VARIABLE) {
            Ok(text) => text.parse().expect("the seed is a number"),
            Err(_unset) => uuid::Uuid::new_v4().as_u64_pair().0,
        };
        Self {
            identity: identity.clone(),
            public: Vec::new(),
            patience: Duration::from_secs(10),
            random_cases: 32,
            seed,
            internal_caller: "order".to_owned(),
            oversize_bytes: vec![("/internal/events".to_owned(), 10 << 20)],
            // CloudEvents 1.0.2, section 4: an event may have extension attributes.
            open_bodies: vec!["/internal/events".to_owned()],
            known: BTreeMap::new(),
        }
    }

    /// Operations on this path (as the document writes it) need no token.
    #[must_use]
    pub fn public(mut self, path: &str) -> Self {
        self.public.push(path.to_owned());
        self
    }

    /// An answer that takes longer than this counts as a hang; default 10 s.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Random variations for each operation; default 32.
    #[must_use]
    pub fn random_cases(mut self, cases: u32) -> Self {
        self.random_cases = cases;
        self
    }

    /// The service that calls `/internal/*`; default `order`.
    #[must_use]
    pub fn internal_caller(mut self, name: &str) -> Self {
        name.clone_into(&mut self.internal_caller);
        self
    }

    /// A body of this size is too large for this path; default 2 MiB, 10 MiB for event deliveries.
    #[must_use]
    pub fn oversize(mut self, path: &str, bytes: usize) -> Self {
        self.oversize_bytes.push((path.to_owned(), bytes));
        self
    }

    /// Good requests carry this value wherever a property or a parameter has this name: the id of
    /// something that exists lets the attacks reach beyond "there is no such thing". A path
    /// parameter of one path alone is named like `/api/things/{id}`.
    #[must_use]
    pub fn known(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.known.insert(name.to_owned(), value.into());
        self
    }

    /// Attacks every operation and reports. Prints the seed first, for runs that do not end.
    pub async fn run(&self, client: &ApiClient, document: &Value) -> Report {
        eprintln!("hostile input: {SEED_VARIABLE}={}", self.seed);
        let mut known = self.known.clone();
        // A service tells only of what is its own.
        let source = format!("/services/{}", self.internal_caller);
        known.entry("source".to_owned()).or_insert(source.into());
        let document = Document::read(document, &self.public, &known);
        let mut runner = Runner::new(self, client);
        for operation in &document.operations {
            runner.good_requests(&document, operation).await;
            runner.auth_cases(&document, operation).await;
            runner.request_cases(&document, operation).await;
            runner.body_cases(&document, operation).await;
            runner.random_cases(&document, operation).await;
        }
        runner.unknown_path().await;
        runner.still_alive().await;
        runner.into_report(document.operations.len())
    }
}

/// What was done and what was wrong.
#[derive(Clone, Debug)]
pub struct Report {
    /// Operations of the document.
    pub operations: usize,
    /// Requests sent.
    pub requests: usize,
    /// Repeats the random part, in [`SEED_VARIABLE`].
    pub seed: u64,
    /// What each operation answered to the good requests: with what is required, with everything.
    /// Shows how deep the attacks reached.
    pub good_answers: Vec<(String, u16)>,
    /// What was wrong.
    pub violations: Vec<Violation>,
}

impl Report {
    /// Fails the test if one answer was not as it must be.
    ///
    /// # Panics
    /// With the list of everything that was wrong.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.violations.is_empty(), "{self}");
    }
}

/// One answer that is not as it must be.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Method and path as the document writes it.
    pub operation: String,
    /// What was sent.
    pub case: String,
    /// What is wrong with the answer.
    pub fault: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} requests to {} operations, {} violations ({SEED_VARIABLE}={}):",
            self.requests,
            self.operations,
            self.violations.len(),
            self.seed
        )?;
        for (operation, status) in &self.good_answers {
            writeln!(f, "  {operation}: a good request is answered {status}")?;
        }
        let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
        for violation in &self.violations {
            let count = shown.entry(&violation.operation).or_default();
            *count += 1;
            if *count <= SHOWN_EACH {
                writeln!(f, "  {violation}")?;
            }
        }
        for (operation, count) in shown {
            if let Some(more @ 1..) = count.checked_sub(SHOWN_EACH) {
                writeln!(f, "  {operation}: and {more} more")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.operation, self.case, self.fault)
    }
}

#[cfg(test)]
mod tests;
