//! What pages of other origins may do (Fetch standard, section 3.2), as data.

use http::{HeaderName, HeaderValue};

use crate::file::CorsIn;

/// A policy that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsPolicy {
    /// Every origin; never together with credentials.
    pub any_origin: bool,
    /// These origins.
    pub origins: Vec<HeaderValue>,
    /// `Access-Control-Allow-Methods`.
    pub methods: HeaderValue,
    /// `Access-Control-Allow-Headers`.
    pub headers: HeaderValue,
    /// `Access-Control-Expose-Headers`.
    pub exposed: HeaderValue,
    /// Whether cookies may be sent.
    pub credentials: bool,
    /// `Access-Control-Max-Age`, in seconds.
    pub max_age_seconds: u64,
}

impl CorsPolicy {
    /// # Errors
    /// With every fault: the field and what is expected.
    pub fn compile(input: &CorsIn) -> Result<Self, Vec<(String, String)>> {
        let mut faults = Vec::new();
        let any_origin = input.allowed_origins.iter().any(|origin| origin == "*");
        let mut origins = Vec::new();
        for (index, text) in input.allowed_origins.iter().enumerate() {
            match origin(text) {
                _ if text == "*" => {}
                Some(origin) => origins.push(origin),
                None => faults.push((
                    format!("allowed_origins[{index}]"),
                    format!("`{text}` is not an origin such as https://console.example"),
                )),
            }
        }
        if any_origin && input.allow_credentials {
            let message = "every origin must not be given credentials; list the origins";
            faults.push(("allow_credentials".to_owned(), message.to_owned()));
        }
        let mut listed = |field: &str, names: &[String]| match list(names) {
            Some(value) => value,
            None => {
                let message = format!("`{}` is not a list of names", names.join(", "));
                faults.push((field.to_owned(), message));
                HeaderValue::from_static("")
            }
        };
        let policy = Self {
            any_origin,
            origins,
            methods: listed("allowed_methods", &input.allowed_methods),
            headers: listed("allowed_headers", &input.allowed_headers),
            exposed: listed("exposed_headers", &input.exposed_headers),
            credentials: input.allow_credentials,
            max_age_seconds: input.max_age_seconds,
        };
        match faults.is_empty() {
            true => Ok(policy),
            false => Err(faults),
        }
    }
}

/// A serialised origin: scheme, host and port, and nothing else (RFC 6454, section 6.2).
fn origin(text: &str) -> Option<HeaderValue> {
    let uri: http::Uri = text.parse().ok()?;
    let serialised = match (uri.scheme_str(), uri.authority()) {
        (Some(scheme @ ("http" | "https")), Some(authority)) => format!("{scheme}://{authority}"),
        _ => return None,
    };
    if serialised != text || text.contains('@') || text != text.to_lowercase() {
        return None;
    }
    HeaderValue::from_str(text).ok()
}

fn list(names: &[String]) -> Option<HeaderValue> {
    let token = |name: &String| HeaderName::from_bytes(name.as_bytes()).is_ok();
    let joined = HeaderValue::from_str(&names.join(", ")).ok()?;
    names.iter().all(token).then_some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_a_scheme_a_host_and_nothing_else() {
        for good in [
            "http://localhost:3000",
            "https://console.example",
            "http://[::1]:3000",
        ] {
            assert!(origin(good).is_some(), "{good}");
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
            assert!(origin(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn every_origin_is_never_given_credentials() {
        let input = CorsIn {
            allowed_origins: vec!["*".to_owned()],
            allow_credentials: true,
            allowed_methods: vec!["G E T".to_owned()],
            ..CorsIn::default()
        };
        let faults = CorsPolicy::compile(&input).unwrap_err();
        let fields: Vec<_> = faults.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["allow_credentials", "allowed_methods"]);
    }
}
