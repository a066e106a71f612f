//! Asks every operation of a service's own OpenAPI document as every kind of caller, for the caller's
//! own store and for a foreign one, and compares who was let in with the table of permissions.
//!
//! ```no_run
//! # async fn test(client: testkit::ApiClient, identity: testkit::TestIdentity, own: common::ids::StoreId,
//! #     foreign: common::ids::StoreId, order: uuid::Uuid, other: uuid::Uuid) {
//! use testkit::matrix::Matrix;
//! let document = client.get("/openapi.json").await.expect(200);
//! let report = Matrix::new(own, foreign)
//!     .object("/api/orders/{id}", order, other)
//!     .run(&client, &document, &identity)
//!     .await;
//! report.assert_clean();
//! report.assert_table("GET /api/orders/{id}: orders:read, object");
//! # }
//! ```
//!
//! Whom an operation lets in stands in its `x-permission`, where the store comes from in its
//! `x-store-scope`; both are written by the attribute `common::auth::access` from the handler's own
//! signature. An operation without them is a violation. The table in the test is the second opinion:
//! whoever adds a route or gives it another permission has to say so there.

mod request;
mod runner;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;

use common::auth::Role;
use common::ids::StoreId;
use serde_json::Value;

use crate::client::ApiClient;
use crate::hostile::document::Document;
use crate::identity::TestIdentity;
use runner::Runner;

/// The service that asks.
const CALLING_SERVICE: &str = "order";

/// Where the tokens of the callers come from.
pub trait Callers {
    /// A token of somebody with this role, in this store alone unless the role is the owner's. Asked
    /// for before every request, so that a request which ends a session hurts no other.
    fn person(&self, role: Role, store: StoreId) -> impl Future<Output = String>;

    /// A token of another service.
    fn service(&self) -> String;

    /// A token with which an application acts for an owner, within these scopes; `None` where there
    /// are none.
    fn application(&self, scopes: &str) -> Option<String>;

    /// A token of a program that acts for itself in one store, within these scopes; `None` where
    /// there are none.
    fn program(&self, scopes: &str, store: StoreId) -> Option<String>;
}

impl Callers for TestIdentity {
    async fn person(&self, role: Role, store: StoreId) -> String {
        match role {
            Role::Owner => self.owner(),
            _ => self.user_of(role, store),
        }
    }

    fn service(&self) -> String {
        TestIdentity::service(self, CALLING_SERVICE)
    }

    fn application(&self, scopes: &str) -> Option<String> {
        Some(self.delegated(scopes))
    }

    fn program(&self, scopes: &str, store: StoreId) -> Option<String> {
        Some(TestIdentity::program(self, scopes, store))
    }
}

/// The driver: two stores and what is in them.
#[derive(Clone, Debug)]
pub struct Matrix {
    own: Place,
    foreign: Place,
    vanishing: BTreeSet<String>,
    absent: BTreeSet<String>,
}

/// A store and what good requests for it carry.
#[derive(Clone, Debug)]
struct Place {
    store: StoreId,
    known: BTreeMap<String, Value>,
    /// Ids that only whoever may see the store may see.
    secrets: Vec<String>,
}

impl Place {
    fn new(store: StoreId) -> Self {
        Self {
            store,
            known: BTreeMap::from([
                ("store_id".to_owned(), store.to_string().into()),
                // Of events: a service tells only of what is its own.
                (
                    "source".to_owned(),
                    format!("/services/{CALLING_SERVICE}").into(),
                ),
            ]),
            secrets: vec![store.to_string()],
        }
    }
}

impl Matrix {
    /// The store that callers other than the owner belong to, and another one.
    #[must_use]
    pub fn new(own: StoreId, foreign: StoreId) -> Self {
        Self {
            own: Place::new(own),
            foreign: Place::new(foreign),
            vanishing: BTreeSet::new(),
            absent: BTreeSet::new(),
        }
    }

    /// Requests carry this value wherever a property or a parameter has this name, or, when `name` is
    /// a path as the document writes it, as the parameter of that path.
    #[must_use]
    pub fn known(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        for place in [&mut self.own, &mut self.foreign] {
            place.known.insert(name.to_owned(), value.clone());
        }
        self
    }

    /// Objects of the two stores, by the path that names them as the document writes it, or by the
    /// name of a parameter or property.
    #[must_use]
    pub fn object(
        mut self,
        path: &str,
        own: impl fmt::Display,
        foreign: impl fmt::Display,
    ) -> Self {
        for (place, id) in [
            (&mut self.own, own.to_string()),
            (&mut self.foreign, foreign.to_string()),
        ] {
            place.secrets.push(id.clone());
            place.known.insert(path.to_owned(), id.into());
        }
        self
    }

    /// The object of this operation (`DELETE /api/things/{id}`) is gone once a caller was let in:
    /// callers after that may be answered 404.
    #[must_use]
    pub fn vanishing(mut self, operation: &str) -> Self {
        self.vanishing.insert(operation.to_owned());
        self
    }

    /// Everybody has objects of their own for this operation (`DELETE /api/things/{id}`), and no caller
    /// has one: 404 says that the caller was let in as far as hearing so.
    #[must_use]
    pub fn absent(mut self, operation: &str) -> Self {
        self.absent.insert(operation.to_owned());
        self
    }

    /// Asks everything as everybody and reports.
    pub async fn run(
        &self,
        client: &ApiClient,
        document: &Value,
        callers: &impl Callers,
    ) -> Report {
        let own = Document::read(document, &[], &self.own.known);
        let foreign = Document::read(document, &[], &self.foreign.known);
        let mut runner = Runner::new(self, client, callers);
        for operation in &own.operations {
            runner.operation(&own, &foreign, operation).await;
        }
        runner.into_report()
    }
}

/// What was asked and what was wrong.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Requests sent.
    pub requests: usize,
    /// One line for each operation: method, path, who is let in, where the store comes from.
    pub table: BTreeSet<String>,
    /// What was wrong.
    pub violations: Vec<String>,
}

impl Report {
    /// Fails the test if somebody was let in or kept out who should not have been.
    ///
    /// # Panics
    /// With the list of everything that was wrong.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.violations.is_empty(), "{self}");
        eprintln!(
            "{} operations, {} requests, 0 wrong answers",
            self.table.len(),
            self.requests
        );
    }

    /// Fails the test if the service's operations are not exactly those of the reviewed table.
    ///
    /// # Panics
    /// With the lines that are missing in the table or in the service.
    #[track_caller]
    pub fn assert_table(&self, reviewed: &str) {
        let lines = reviewed.lines().map(str::trim);
        let reviewed: BTreeSet<String> = lines
            .filter(|line| !line.is_empty())
            .map(ToOwned::to_owned)
            .collect();
        let new: Vec<&String> = self.table.difference(&reviewed).collect();
        let gone: Vec<&String> = reviewed.difference(&self.table).collect();
        assert!(
            new.is_empty() && gone.is_empty(),
            "the reviewed table of operations lacks {new:#?}\nand has {gone:#?}, which the service has not"
        );
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wrong, requests) = (self.violations.len(), self.requests);
        writeln!(f, "{wrong} wrong answers to {requests} requests:")?;
        for violation in &self.violations {
            writeln!(f, "  {violation}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
