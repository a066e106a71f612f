//! Cross-origin rules (Fetch standard, section 3.2). The gateway alone makes them: what a service
//! says about them is removed.

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use common::error::ApiError;

use crate::answer::{Content, Draft};
use crate::settings::CorsSettings;

/// What pages of other origins may do. Credentials are never allowed: tokens travel in a header.
#[derive(Clone, Debug)]
pub(crate) struct Cors {
    any_origin: bool,
    origins: Vec<HeaderValue>,
    methods: HeaderValue,
    headers: HeaderValue,
    exposed: HeaderValue,
    max_age: HeaderValue,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadCors {
    #[error("cors.allowed_origins: `{0}` is not an origin such as https://console.example")]
    Origin(String),
    #[error("cors: `{0}` is not a list of methods or header names")]
    List(String),
}

impl Cors {
    pub(crate) fn try_new(settings: &CorsSettings) -> Result<Self, BadCors> {
        let any = |origin: &&String| origin.as_str() == "*";
        let named = settings
            .allowed_origins
            .iter()
            .filter(|origin| !any(origin));
        Ok(Self {
            any_origin: settings.allowed_origins.iter().any(|origin| any(&origin)),
            origins: named.map(|text| origin(text)).collect::<Result<_, _>>()?,
            methods: list(&settings.allowed_methods)?,
            headers: list(&settings.allowed_headers)?,
            exposed: list(&settings.exposed_headers)?,
            max_age: HeaderValue::from(settings.max_age_seconds),
        })
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
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        self.any_origin || self.origins.contains(origin)
    }
}

fn origin(text: &str) -> Result<HeaderValue, BadCors> {
    let refused = || BadCors::Origin(text.to_owned());
    let uri: http::Uri = text.parse().map_err(|_malformed| refused())?;
    let serialised = match (uri.scheme_str(), uri.authority()) {
        (Some(scheme @ ("http" | "https")), Some(authority)) => format!("{scheme}://{authority}"),
        _ => return Err(refused()),
    };
    if serialised != text || text.contains('@') || text != text.to_lowercase() {
        return Err(refused());
    }
    HeaderValue::from_str(text).map_err(|_invalid| refused())
}

fn list(names: &[String]) -> Result<HeaderValue, BadCors> {
    let joined = names.join(", ");
    let token = |name: &String| HeaderName::from_bytes(name.as_bytes()).is_ok();
    match HeaderValue::from_str(&joined) {
        Ok(value) if names.iter().all(token) => Ok(value),
        _ => Err(BadCors::List(joined)),
    }
}

/// Adds a name to `Vary`, which stays one line.
fn merge_vary(headers: &mut HeaderMap, name: &str) {
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

    #[test]
    fn an_origin_has_a_scheme_a_host_and_nothing_else() {
        for good in [
            "http://localhost:3000",
            "https://console.example",
            "http://[::1]:3000",
        ] {
            assert!(origin(good).is_ok(), "{good}");
        }
        for bad in [
            "localhost:3000",
            "http://a/",
            "http://a/b",
            "https://A.example",
            "http://u@a",
            "ftp://a",
            "null",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
