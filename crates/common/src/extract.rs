//! Extractors that parse a request into types which hold only acceptable values.

use std::future::{Future, Ready, ready};
use std::ops::Deref;
use std::pin::Pin;
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, FieldError};

/// Largest request body of an ordinary endpoint, in bytes.
pub const MAX_BODY_BYTES: usize = 1_048_576;

/// Collects what is wrong with a value, field by field.
#[derive(Debug, Default)]
pub struct Faults(Vec<FieldError>);

impl Faults {
    /// Reports one field.
    pub fn add(&mut self, field: impl Into<String>, code: &str, detail: impl Into<String>) {
        self.0.push(FieldError {
            field: field.into(),
            code: code.to_owned(),
            detail: detail.into(),
        });
    }

    /// Reports `field` unless `holds`.
    pub fn require(&mut self, holds: bool, field: impl Into<String>, code: &str, detail: &str) {
        if !holds {
            self.add(field, code, detail);
        }
    }

    /// Reports a text that is empty, only blanks, longer than `max` characters or that holds
    /// control characters.
    pub fn require_text(&mut self, text: &str, field: &str, max: usize) {
        let length = text.chars().count();
        self.require(!text.trim().is_empty(), field, "empty", "must not be empty");
        self.require(
            length <= max,
            field,
            "too_long",
            &format!("at most {max} characters"),
        );
        let control = text.chars().any(char::is_control);
        self.require(
            !control,
            field,
            "control_character",
            "must not hold control characters",
        );
    }

    /// `Ok` when nothing was reported.
    ///
    /// # Errors
    /// A 422 with every reported field.
    pub fn into_result(self) -> Result<(), ApiError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(ApiError::invalid(self.0))
        }
    }
}

/// A wire type that can say which of its fields are not acceptable.
pub trait Check {
    /// Reports every field that is not acceptable.
    fn check(&self, faults: &mut Faults);
}

/// A JSON body of at most [`MAX_BODY_BYTES`], parsed and checked.
///
/// 400 names the path of what cannot be read, 415 another content type, 413 too many bytes, 422
/// the fields that are not acceptable.
#[derive(Debug)]
pub struct Valid<T>(pub T);

impl<T> Deref for Valid<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned + Check + 'static> FromRequest for Valid<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let content_type = require_json(request);
        let declared = declared_length(request);
        let mut payload = payload.take();
        Box::pin(async move {
            let body = match (content_type, declared) {
                (Err(error), _) => Err(error),
                (Ok(()), Some(length)) if length > MAX_BODY_BYTES => {
                    Err(ApiError::too_large(MAX_BODY_BYTES))
                }
                (Ok(()), _) => read_body(&mut payload, MAX_BODY_BYTES).await,
            };
            let value: T = parse_json(&body?)?;
            let mut faults = Faults::default();
            value.check(&mut faults);
            faults.into_result()?;
            Ok(Self(value))
        })
    }
}

/// Refuses a body that is not declared as JSON, for handlers that read it themselves.
///
/// # Errors
/// 415.
pub fn require_json(request: &HttpRequest) -> Result<(), ApiError> {
    let value = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = value
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let detail = "The body must be application/json.";
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        detail,
    ))
}

fn declared_length(request: &HttpRequest) -> Option<usize> {
    request
        .headers()
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Reads a body of at most `max_bytes`.
///
/// # Errors
/// 413 for more bytes, 400 when the client breaks off.
pub async fn read_body(payload: &mut Payload, max_bytes: usize) -> Result<web::BytesMut, ApiError> {
    let mut body = web::BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| {
            ApiError::malformed("body_incomplete", "The body could not be read.").with_cause(error)
        })?;
        if body.len() + chunk.len() > max_bytes {
            return Err(ApiError::too_large(max_bytes));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Parses JSON, naming the path of what cannot be read.
///
/// # Errors
/// 400 with code `malformed_json`, `unknown_field`, `missing_field` or `invalid_type`.
pub fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        json_error(error.inner(), &path)
    })?;
    deserializer
        .end()
        .map_err(|error| json_error(&error, "."))?;
    Ok(value)
}

fn json_error(error: &serde_json::Error, path: &str) -> ApiError {
    let reason = error.to_string();
    let code = match error.classify() {
        serde_json::error::Category::Data if reason.starts_with("unknown field") => "unknown_field",
        serde_json::error::Category::Data if reason.starts_with("missing field") => "missing_field",
        serde_json::error::Category::Data => "invalid_type",
        _ => "malformed_json",
    };
    // What was sent instead may be a password in the wrong place; what is expected never is one.
    let told = match reason.rsplit_once(", expected ") {
        Some((_sent, expected)) if code == "invalid_type" => format!("expected {expected}"),
        _ => reason,
    };
    ApiError::malformed(code, format!("{path}: {told}"))
}

/// A query string, parsed and checked. 400 for what cannot be read, 422 for what is not acceptable.
#[derive(Debug)]
pub struct ValidQuery<T>(pub T);

impl<T> Deref for ValidQuery<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned + Check> FromRequest for ValidQuery<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(parse_query(request.query_string()).map(Self))
    }
}

fn parse_query<T: DeserializeOwned + Check>(query: &str) -> Result<T, ApiError> {
    let value: T = serde_urlencoded::from_str(query)
        .map_err(|error| ApiError::malformed("malformed_query", error.to_string()))?;
    let mut faults = Faults::default();
    value.check(&mut faults);
    faults.into_result()?;
    Ok(value)
}

/// The last-named id of the path, `{id}`. What is no id is not found.
#[derive(Debug, Clone, Copy)]
pub struct PathId<T>(pub T);

impl<T: FromStr> FromRequest for PathId<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let id = request
            .match_info()
            .get("id")
            .and_then(|text| text.parse().ok());
        ready(id.map(Self).ok_or_else(|| ApiError::not_found("resource")))
    }
}

/// The `Idempotency-Key` of a write: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key as sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromRequest for IdempotencyKey {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let mut values = request.headers().get_all("idempotency-key");
        let (first, second) = (values.next(), values.next());
        let result = match (first, second) {
            (None, _) => Err(ApiError::malformed(
                "idempotency_key_missing",
                "This request needs an Idempotency-Key header.",
            )),
            (Some(key), None)
                if (1..=255).contains(&key.len())
                    && key.as_bytes().iter().all(u8::is_ascii_graphic) =>
            {
                Ok(Self(key.to_str().unwrap_or_default().to_owned()))
            }
            _ => Err(ApiError::malformed(
                "idempotency_key_malformed",
                "The Idempotency-Key must be 1 to 255 visible ASCII characters, sent once.",
            )),
        };
        ready(result)
    }
}
