//! What an answer is judged by.

use common::error::PROBLEM_JSON;
use serde_json::Value;

use super::document::Answers;

/// An answer, or what came instead.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// What the answer to a case must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expect {
    /// Anything orderly: success or a refusal.
    Orderly,
    /// One of these.
    OneOf(&'static [u16]),
    /// The request is as the document describes it: the service must understand it, whatever it
    /// then says to it.
    Understood,
}

/// Statuses that an error may have.
const ERRORS: [u16; 12] = [400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 431, 503];
/// Statuses which say that a good request was not understood.
const NOT_UNDERSTOOD: [u16; 6] = [400, 401, 403, 405, 413, 415];

/// Texts that only a cause contains.
const CAUSES: [&str; 21] = [
    "panicked",
    "backtrace",
    "thread '",
    ".rs:",
    "sqlx",
    "SELECT ",
    "INSERT INTO",
    "DELETE FROM",
    "BEGIN IMMEDIATE",
    "SQLITE_",
    "SQLSTATE",
    "database is locked",
    "constraint failed",
    "violates",
    "os error",
    "Connection refused",
    "connection refused",
    "reqwest",
    "hyper::",
    "/home/",
    "RustPanic",
];

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Everything that is wrong with the answer to a request that carried these secrets. An error is a
    /// problem document unless the document says otherwise: a protocol and a page have forms of their
    /// own.
    pub(super) fn faults(
        &self,
        expect: Expect,
        documented: &Answers,
        secrets: &[String],
    ) -> Vec<String> {
        let mut faults = Vec::new();
        let text = String::from_utf8_lossy(&self.body);
        let shown: String = text.chars().take(200).collect();
        let status = self.status;
        let expected = match expect {
            Expect::Orderly => true,
            Expect::OneOf(statuses) => statuses.contains(&status),
            Expect::Understood => !NOT_UNDERSTOOD.contains(&status),
        };
        let is_redirect = (300..400).contains(&status) && documented.has(status);
        let orderly = (200..300).contains(&status) || is_redirect || ERRORS.contains(&status);
        if !expected || !orderly {
            let wanted = match expect {
                Expect::Orderly => "an orderly status".to_owned(),
                Expect::OneOf(statuses) => format!("one of {statuses:?}"),
                Expect::Understood => "a request that is understood".to_owned(),
            };
            faults.push(format!("status {status}, not {wanted}"));
        }
        if status >= 400 {
            let media_type = self.header("content-type").unwrap_or_default();
            if media_type == PROBLEM_JSON || !documented.has_form(status, media_type) {
                faults.extend(self.problem_faults());
            }
            let leaked = CAUSES.iter().find(|cause| text.contains(**cause));
            faults.extend(leaked.map(|cause| format!("the body shows a cause, {cause:?}")));
        }
        if secrets
            .iter()
            .any(|secret| !secret.is_empty() && text.contains(secret.as_str()))
        {
            faults.push("the body repeats the token".to_owned());
        }
        if !faults.is_empty() {
            faults.push(format!("answer {status}: {shown}"));
        }
        faults
    }

    fn problem_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let media_type = self.header("content-type").unwrap_or("nothing");
        if media_type != PROBLEM_JSON {
            faults.push(format!("an error of type {media_type}"));
        }
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        for member in ["type", "title", "detail", "code", "request_id"] {
            let present = problem.get(member).and_then(Value::as_str);
            if present.is_none_or(str::is_empty) {
                faults.push(format!("a problem without {member}"));
            }
        }
        if problem.get("status").and_then(Value::as_u64) != Some(u64::from(self.status)) {
            faults.push("a problem whose status is another".to_owned());
        }
        let code = problem.get("code").and_then(Value::as_str).unwrap_or("x");
        let snake_case =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !code.bytes().all(snake_case) {
            faults.push(format!("the code {code:?} is not snake_case"));
        }
        if self.header("x-request-id") != problem.get("request_id").and_then(Value::as_str) {
            faults.push("the request id of header and body differ".to_owned());
        }
        let needed = match self.status {
            401 => Some("www-authenticate"),
            429 | 503 => Some("retry-after"),
            _ => None,
        };
        if let Some(name) = needed.filter(|name| self.header(name).is_none()) {
            faults.push(format!("no {name} header"));
        }
        faults
    }
}
