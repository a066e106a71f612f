//! The page at `/docs`: Swagger UI, with every asset inside the binary and nothing inline, so that a
//! strict content policy holds.

use std::borrow::Cow;
use std::sync::Arc;

use actix_web::http::StatusCode;
use bytes::Bytes;
use common::error::ApiError;
use utoipa_swagger_ui::{Config, serve};

use crate::answer::{Draft, set, with_type};

/// Nothing from elsewhere, no inline script or style, no frames.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

const PAGE: &str = include_str!("page.html");
const START: &str = include_str!("start.js");
const LOOK: &str = include_str!("look.css");

/// The files that the page loads, and their media types.
const ASSETS: [(&str, &str); 5] = [
    ("swagger-ui.css", "text/css"),
    ("swagger-ui-bundle.js", "text/javascript"),
    ("favicon-32x32.png", "image/png"),
    ("start.js", "text/javascript"),
    ("look.css", "text/css"),
];

/// The file of this name, if the page has it.
pub(crate) fn asset_name(name: &str) -> Option<&'static str> {
    let known = ASSETS.iter().find(|(known, _)| *known == name);
    known.map(|(known, _)| *known)
}

/// The page itself.
pub(crate) fn page() -> Draft {
    let mut draft = with_type(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    set(&mut draft, "content-security-policy", CONTENT_POLICY);
    set(&mut draft, "referrer-policy", "no-referrer");
    set(&mut draft, "cache-control", "no-cache");
    draft
}

/// A file that the page loads.
pub(crate) fn asset(name: &'static str) -> Result<Draft, ApiError> {
    let known = ASSETS.iter().find(|(known, _)| *known == name);
    let (_, media_type) = *known.ok_or_else(|| ApiError::not_found("file"))?;
    let content = match name {
        "start.js" => Bytes::from_static(START.as_bytes()),
        "look.css" => Bytes::from_static(LOOK.as_bytes()),
        _ => vendored(name).ok_or_else(|| ApiError::not_found("file"))?,
    };
    let mut draft = with_type(StatusCode::OK, media_type, content);
    set(&mut draft, "cache-control", "public, max-age=3600");
    Ok(draft)
}

fn vendored(name: &str) -> Option<Bytes> {
    let config: Arc<Config<'static>> = Arc::new(Config::from("/openapi.json"));
    match serve(name, config).ok()??.bytes {
        Cow::Borrowed(bytes) => Some(Bytes::from_static(bytes)),
        Cow::Owned(bytes) => Some(bytes.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_what_is_there_and_nothing_else() {
        for (name, _) in ASSETS {
            assert!(asset(asset_name(name).unwrap()).is_ok(), "{name}");
            assert!(PAGE.contains(&format!("\"/docs/{name}\"")), "{name}");
        }
        assert_eq!(PAGE.matches("\"/docs/").count(), ASSETS.len());
        assert!(!PAGE.contains("http") && !PAGE.contains("<style") && !PAGE.contains("style="));
        assert_eq!(asset_name("swagger-initializer.js"), None);
    }
}
