//! Cross-origin rules (Fetch standard, section 3.2). The gateway alone makes them: what a service
//! says about them is removed.

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use common::error::ApiError;
use routing::cors::CorsPolicy;

use crate::answer::{Content, Draft};

/// What pages of other origins may do, in the types of the server.
#[derive(Clone, Debug)]
pub(crate) struct Cors {
    any_origin: bool,
    origins: Vec<HeaderValue>,
    methods: HeaderValue,
    headers: HeaderValue,
    exposed: HeaderValue,
    max_age: HeaderValue,
    credentials: bool,
}

impl Cors {
    pub(crate) fn new(policy: &CorsPolicy) -> Self {
        // The policy's values are header values already, of the other version of the same type.
        let value = |value: &http::HeaderValue| {
            HeaderValue::from_bytes(value.as_bytes()).unwrap_or(HeaderValue::from_static(""))
        };
        Self {
            any_origin: policy.any_origin,
            origins: policy.origins.iter().map(value).collect(),
            methods: value(&policy.methods),
            headers: value(&policy.headers),
            exposed: value(&policy.exposed),
            max_age: HeaderValue::from(policy.max_age_seconds),
            credentials: policy.credentials,
        }
    }

    /// No page of another origin may do anything.
    pub(crate) fn off() -> Self {
        let nothing = || HeaderValue::from_static("");
        Self {
            any_origin: false,
            origins: Vec::new(),
            methods: nothing(),
            headers: nothing(),
            exposed: nothing(),
            max_age: HeaderValue::from(0),
            credentials: false,
        }
    }

    /// The answer to a preflight request; `None` when the request is none.
    pub(crate) fn preflight(&self, request: &HttpRequest) -> Option<Result<Draft, ApiError>> {
        let headers = request.headers();
        let asks = headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let origin = headers.get(header::ORIGIN)?;
        if request.method() != Method::OPTIONS || !asks {
            return None;
        }
        if !self.allows(origin) {
            let detail = "Pages of this origin may not use the API.";
            let error = ApiError::new(StatusCode::FORBIDDEN, "origin_not_allowed", detail);
            return Some(Err(error));
        }
        let mut answer = HttpResponse::with_body(StatusCode::NO_CONTENT, Content::Empty);
        let headers = answer.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        merge_vary(headers, "access-control-request-method");
        merge_vary(headers, "access-control-request-headers");
        Some(Ok(answer))
    }

    /// Adds to any answer what tells a browser whether the page may read it.
    pub(crate) fn decorate(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if !self.any_origin {
            // Also without an Origin: a cache must not give that answer to a page.
            merge_vary(headers, "origin");
        }
        let Some(origin) = origin.filter(|origin| self.allows(origin)) else {
            return;
        };
        let allowed = match self.any_origin {
            true => HeaderValue::from_static("*"),
            false => origin.clone(),
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed.clone());
        if self.credentials {
            let name = header::ACCESS_CONTROL_ALLOW_CREDENTIALS;
            headers.insert(name, HeaderValue::from_static("true"));
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        self.any_origin || self.origins.contains(origin)
    }
}

/// Adds a name to `Vary`, which stays one line.
pub(crate) fn merge_vary(headers: &mut HeaderMap, name: &'static str) {
    if !headers.contains_key(header::VARY) {
        headers.insert(header::VARY, HeaderValue::from_static(name));
        return;
    }
    let values = headers.get_all(header::VARY);
    let lines: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    let mut names: Vec<&str> = lines
        .iter()
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    if names.contains(&"*") {
        return;
    }
    if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        names.push(name);
    }
    if let Ok(value) = HeaderValue::from_str(&names.join(", ")) {
        headers.insert(header::VARY, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vary_is_merged_into_one_line() {
        for (before, expected) in [
            (&[][..], "origin"),
            (&["Accept-Encoding"], "Accept-Encoding, origin"),
            (&["Accept", "Origin"], "Accept, Origin"),
            (&["Accept", "Cookie, "], "Accept, Cookie, origin"),
            (&["*"], "*"),
        ] {
            let mut headers = HeaderMap::new();
            for value in before {
                headers.append(header::VARY, HeaderValue::from_static(value));
            }
            merge_vary(&mut headers, "origin");
            let values: Vec<_> = headers.get_all(header::VARY).collect();
            assert_eq!(values, [expected], "{before:?}");
        }
    }
}
