//! The one error that a client sees: RFC 9457 `application/problem+json`.
//!
//! A 5xx never shows its cause. The log does, once, with the same request id.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpResponse, ResponseError};
use serde::{Deserialize, Serialize};

/// Media type of RFC 9457.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// One field that is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Path of the field, such as `lines[0].quantity`.
    pub field: String,
    /// Stable `snake_case` code, such as `out_of_range`.
    pub code: String,
    /// What is expected, for a person.
    pub detail: String,
}

/// The body of every error answer (RFC 9457, section 3.1).
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// `about:blank`: the code says what kind of problem it is.
    pub r#type: String,
    /// The status' standard phrase.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, for a person.
    pub detail: String,
    /// Stable `snake_case` code, for a program.
    pub code: String,
    /// Finds the request in the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The fields that are not acceptable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// An error answer, with the cause that only the log sees.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
    missing_scope: Option<&'static str>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ApiError {
    /// An error answer with this status, stable code and explanation.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            missing_scope: None,
            cause: None,
        }
    }

    /// 400: the request cannot be understood.
    #[must_use]
    pub fn malformed(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 401: nobody, or somebody who cannot prove it (RFC 6750, section 3).
    #[must_use]
    pub fn unauthenticated(code: &'static str) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            code,
            "A valid access token is required.",
        )
    }

    /// 403: known, but not allowed.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "This account may not do that.",
        )
    }

    /// 404: not there, or its existence is none of the caller's business.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("There is no such {what}."),
        )
    }

    /// 409: contradicts the present state.
    #[must_use]
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 413: more bytes than the endpoint takes.
    #[must_use]
    pub fn too_large(max_bytes: usize) -> Self {
        let detail = format!("The body may have at most {max_bytes} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    }

    /// 422: understood, but these fields are not acceptable.
    #[must_use]
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = "Some fields are not acceptable.";
        let error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_fields", detail);
        Self { errors, ..error }
    }

    /// 422: understood, but not acceptable as a whole.
    #[must_use]
    pub fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// 429: asked too often.
    #[must_use]
    pub fn too_many(retry_after: Duration) -> Self {
        let detail = "Too many requests; wait before the next one.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail)
            .with_retry_after(retry_after)
    }

    /// 503: cannot serve now; a later try may succeed.
    #[must_use]
    pub fn unavailable(code: &'static str, retry_after: Duration) -> Self {
        let detail = "The service cannot answer now; try again later.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).with_retry_after(retry_after)
    }

    /// 500: our fault. The cause goes to the log only.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let detail = "Something went wrong here; the request id finds it in the logs.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).with_cause(cause)
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn with_cause(
        mut self,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Tells the client when to come back, in whole seconds, at least one.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Tells an application which scope its token lacks (RFC 6750, section 3.1).
    #[must_use]
    pub fn with_missing_scope(mut self, scope: &'static str) -> Self {
        self.missing_scope = Some(scope);
        self
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// The body that a client sees.
    #[must_use]
    pub fn to_problem(&self) -> Problem {
        Problem {
            r#type: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.to_owned(),
            request_id: crate::context::current_request_id(),
            errors: self.errors.clone(),
        }
    }

    fn log(&self) {
        let Some(cause) = &self.cause else { return };
        let chain = ErrorChain(cause.as_ref()).to_string();
        let request_id = crate::context::current_request_id().unwrap_or_default();
        if self.status.is_server_error() {
            tracing::error!(
                error.code = self.code,
                error.cause = chain,
                request.id = request_id,
                "request failed"
            );
        } else {
            tracing::debug!(
                error.code = self.code,
                error.cause = chain,
                request.id = request_id,
                "request refused"
            );
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.code, self.detail)
    }
}

impl std::error::Error for ApiError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        self.log();
        let mut response = HttpResponse::build(self.status);
        response.content_type(PROBLEM_JSON);
        if let Some(after) = self.retry_after {
            let seconds = after.as_millis().div_ceil(1_000).max(1);
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            // Whoever has to come back later needs no connection meanwhile: of many who come at once,
            // each that stays open costs several pages of memory.
            response.force_close();
        }
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 6750, section 3.1: no error attribute when no token was sent at all.
            let challenge = match self.code {
                "token_missing" => "Bearer".to_owned(),
                code => format!("Bearer error=\"invalid_token\", error_description=\"{code}\""),
            };
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        if let Some(scope) = self.missing_scope {
            let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        response.json(self.to_problem())
    }
}

/// Shows an error and all its sources on one line, outermost first.
pub struct ErrorChain<'a>(pub &'a (dyn std::error::Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
