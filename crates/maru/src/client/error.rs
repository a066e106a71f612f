//! What can go wrong with a call, and the server's own words about it (RFC 9457).

use std::fmt;

use reqwest::StatusCode;
use serde::Deserialize;

/// Why a call brought no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address of the gateway cannot be used.
    #[error("`{0}` is not an http or https address")]
    BadAddress(String),
    /// There is nothing to log in with.
    #[error("no password: set MARU_OWNER_PASSWORD or give --password")]
    NoPassword,
    /// The HTTP client cannot be built.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// Wrong e-mail or password.
    #[error("the gateway refused the login of {email}: {problem}")]
    LoginRefused {
        /// The account.
        email: String,
        /// What the server said.
        problem: Box<Problem>,
    },
    /// The account has a second factor.
    #[error(
        "{email} has a second factor: give --code or set MARU_OWNER_CODE (a passkey does not do)"
    )]
    CodeMissing {
        /// The account.
        email: String,
    },
    /// The account may do nothing before it has a second factor.
    #[error(
        "{email} may do nothing before it has a second factor: add one with POST /api/auth/mfa/totp, \
         or let user-service do without (USER__MFA__REQUIRE_FOR_MANAGERS)"
    )]
    FactorMissing {
        /// The account.
        email: String,
    },
    /// The server answered with an error.
    #[error("{method} {path}: {problem}")]
    Refused {
        /// HTTP method of the call.
        method: String,
        /// Path of the call.
        path: String,
        /// What the server said.
        problem: Box<Problem>,
    },
    /// No answer came, however often the request was sent.
    #[error("{method} {path}: no answer after {attempts} attempts")]
    NoAnswer {
        /// HTTP method of the call.
        method: String,
        /// Path of the call.
        path: String,
        /// How often the request was sent.
        attempts: u32,
        /// The last failure.
        #[source]
        source: reqwest::Error,
    },
    /// The answer is not of the expected shape.
    #[error("{method} {path}: the answer cannot be read")]
    Unreadable {
        /// HTTP method of the call.
        method: String,
        /// Path of the call.
        path: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The request cannot be written as JSON.
    #[error("the request cannot be written as JSON")]
    Unwritable(#[source] serde_json::Error),
}

impl ClientError {
    /// What the server said, when it said something.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused { problem, .. } | Self::LoginRefused { problem, .. } => Some(problem),
            _ => None,
        }
    }

    /// Whether the server may have done what was asked although it did not say so: no answer, an
    /// unreadable one, or a fault of the server's own.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        match self {
            Self::NoAnswer { .. } | Self::Unreadable { .. } => true,
            Self::Refused { problem, .. } => {
                problem.status >= 500 || problem.status == StatusCode::TOO_MANY_REQUESTS.as_u16()
            }
            _ => false,
        }
    }
}

/// An `application/problem+json` answer, as far as a person or a program here uses it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// HTTP status code.
    pub status: u16,
    /// Stable name of the fault, such as `invalid_field`.
    pub code: String,
    /// Short summary.
    pub title: String,
    /// What is wrong in this case.
    pub detail: String,
    /// Finds the request in the server's log.
    pub request_id: String,
    /// Faults by field.
    pub errors: Vec<FieldProblem>,
}

/// One fault of one field.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FieldProblem {
    /// Where in the body or the query.
    pub field: String,
    /// Stable name of the fault.
    pub code: String,
    /// What is wrong.
    #[serde(alias = "message")]
    pub detail: String,
}

impl Problem {
    /// Reads an error answer; one that is no problem document keeps its status.
    pub(super) fn read(status: StatusCode, body: &[u8]) -> Self {
        let mut problem: Self = serde_json::from_slice(body).unwrap_or_default();
        problem.status = status.as_u16();
        if problem.title.is_empty() {
            status
                .canonical_reason()
                .unwrap_or("unknown status")
                .clone_into(&mut problem.title);
        }
        problem
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        let text = if self.detail.is_empty() {
            &self.title
        } else {
            &self.detail
        };
        write!(f, ": {text}")?;
        for error in &self.errors {
            write!(f, "; {}: {}", error.field, error.detail)?;
        }
        if !self.request_id.is_empty() {
            write!(f, " (request {})", self.request_id)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_in_one_line() {
        let body =
            br#"{"type":"about:blank","title":"Unprocessable","status":422,"code":"invalid_field",
            "detail":"The body is invalid.","request_id":"r-1",
            "errors":[{"field":"lines[0].quantity","code":"out_of_range","detail":"at least 1"}]}"#;
        let problem = Problem::read(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(
            problem.to_string(),
            "422 invalid_field: The body is invalid.; lines[0].quantity: at least 1 (request r-1)"
        );
        let bare = Problem::read(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(bare.to_string(), "502: Bad Gateway");
    }
}
