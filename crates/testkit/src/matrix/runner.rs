//! Asks, and compares the answers with the verdicts.

use std::collections::BTreeSet;

use common::auth::Access;
use common::error::PROBLEM_JSON;
use serde_json::Value;

use super::request::{Naming, Question};
use super::verdict::{Caller, Scopes, StoreSource, Verdict};
use super::{Callers, Matrix, Report};
use crate::client::{ApiClient, Reply};
use crate::hostile::document::{Document, Operation};

pub(super) struct Runner<'a, C> {
    matrix: &'a Matrix,
    client: ApiClient,
    callers: &'a C,
    /// Operations whose object is not there, or gone by now.
    gone: BTreeSet<String>,
    report: Report,
}

impl<'a, C: Callers> Runner<'a, C> {
    pub(super) fn new(matrix: &'a Matrix, client: &ApiClient, callers: &'a C) -> Self {
        Self {
            matrix,
            client: client.without_token(),
            callers,
            gone: matrix.absent.clone(),
            report: Report::default(),
        }
    }

    pub(super) fn into_report(self) -> Report {
        self.report
    }

    pub(super) async fn operation(
        &mut self,
        own: &Document,
        foreign: &Document,
        operation: &Operation,
    ) {
        let title = operation.title();
        let Some((access, source)) = declared(operation) else {
            self.violation(&title, "says not who may call it: #[access(..)] is missing");
            return;
        };
        self.report.table.insert(line(operation));
        if source == StoreSource::Object && own.known(&operation.path).is_none() {
            self.violation(&title, "needs an object of each store: Matrix::object(..)");
            return;
        }
        let matrix = self.matrix;
        let question = |document, place, naming| Question {
            document,
            operation,
            source: &source,
            place,
            naming,
        };
        for caller in Caller::all() {
            let verdict = Verdict::of(access, caller, false);
            let asked = question(own, &matrix.own, Naming::Named);
            self.ask(&asked, caller, verdict, "own store").await;
            if asked.may_be_unnamed() {
                let asked = question(own, &matrix.own, Naming::Unnamed);
                self.ask(&asked, caller, verdict, "no store named").await;
            }
            if source.can_be_foreign() {
                let verdict = Verdict::of(access, caller, true);
                let asked = question(foreign, &matrix.foreign, Naming::Named);
                self.ask(&asked, caller, verdict, "foreign store").await;
            }
        }
    }

    async fn ask(
        &mut self,
        question: &Question<'_>,
        caller: Caller,
        verdict: Verdict,
        which: &str,
    ) {
        let title = question.operation.title();
        let token = match caller {
            Caller::Nobody => None,
            Caller::Service => Some(self.callers.service()),
            Caller::Application(scopes) => match self.callers.application(&scopes.text()) {
                Some(token) => Some(token),
                None => return,
            },
            Caller::Program => {
                let every = Scopes::Every.text();
                match self.callers.program(&every, self.matrix.own.store) {
                    Some(token) => Some(token),
                    None => return,
                }
            }
            Caller::Person(role) => Some(self.callers.person(role, self.matrix.own.store).await),
        };
        let client = match token {
            Some(token) => self.client.with_token(token),
            None => self.client.clone(),
        };
        let reply = match question.build(&client) {
            Ok(request) => client.send(request).await,
            Err(error) => return self.violation(&title, &error),
        };
        self.report.requests += 1;
        let case = format!("{title}, {caller}, {which}");
        self.judge(&case, &title, verdict, &reply);
        if caller.is_confined() && which != "foreign store" {
            self.look_for_secrets(&case, &reply);
        }
    }

    fn judge(&mut self, case: &str, title: &str, verdict: Verdict, reply: &Reply) {
        let body: Value = serde_json::from_str(&reply.text).unwrap_or_default();
        let code = body.get("code").and_then(Value::as_str).unwrap_or_default();
        let is_gone = reply.status == 404 && verdict == Verdict::LetIn && self.gone.contains(title);
        let is_problem = reply.header("content-type") == Some(PROBLEM_JSON);
        if !verdict.is(reply.status, code, is_problem) && !is_gone {
            let answer: String = reply.text.chars().take(160).collect();
            let fault = format!("expected {verdict}, answered {} {answer}", reply.status);
            return self.violation(case, &fault);
        }
        if verdict == Verdict::Unproven && reply.header("www-authenticate").is_none() {
            self.violation(
                case,
                "401 without WWW-Authenticate (RFC 9110, section 11.6.1)",
            );
        }
        if verdict == Verdict::LetIn && self.matrix.vanishing.contains(title) {
            self.gone.insert(title.to_owned());
        }
    }

    /// Nothing of a foreign store may be in an answer to somebody whose rights end at their own.
    fn look_for_secrets(&mut self, case: &str, reply: &Reply) {
        let secrets = self.matrix.foreign.secrets.iter();
        let shown: Vec<String> = secrets
            .filter(|secret| reply.text.contains(secret.as_str()))
            .cloned()
            .collect();
        for secret in shown {
            self.violation(case, &format!("shows {secret}, which is a foreign store's"));
        }
    }

    fn violation(&mut self, case: &str, fault: &str) {
        self.report.violations.push(format!("{case}: {fault}"));
    }
}

/// What the document says about who may call an operation.
fn declared(operation: &Operation) -> Option<(Access, StoreSource)> {
    let access = serde_json::from_value(operation.permission.clone()?).ok()?;
    let source = StoreSource::parse(operation.store_scope.as_deref()?)?;
    Some((access, source))
}

fn line(operation: &Operation) -> String {
    let permission = operation
        .permission
        .as_ref()
        .and_then(|value| value.as_str());
    let (permission, scope) = (permission.unwrap_or_default(), &operation.store_scope);
    let scope = scope.as_deref().unwrap_or_default();
    format!("{}: {permission}, {scope}", operation.title())
}
