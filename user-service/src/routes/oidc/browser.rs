//! The two cookies of a browser: one tells browsers apart, so that forms are bound to it; the other
//! says who is signed in.

use std::convert::Infallible;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::COOKIE;
use actix_web::{FromRequest, HttpRequest, web};
use cookie::{Cookie, SameSite};
use secrecy::{ExposeSecret, SecretString};

use crate::error::SessionError;
use crate::oidc::browser::{self, BrowserKey, SignedIn};
use crate::oidc::provider::Provider;
use crate::state::AppState;

const KEY: &str = "maru_browser";
const SIGNED_IN: &str = "maru_signed_in";

/// A browser that asks for a page.
pub(super) struct Browser {
    pub(super) key: BrowserKey,
    /// The key was made just now and must be set.
    is_new: bool,
    signed_in: Option<SecretString>,
}

impl FromRequest for Browser {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let state = request.app_data::<web::Data<AppState>>();
        let is_secure = state.is_some_and(|state| state.oidc.is_secure);
        let value = |name: &str| find_cookie(request, &full_name(name, is_secure));
        let key = value(KEY).and_then(|text| BrowserKey::parse(&text));
        ready(Ok(Self {
            is_new: key.is_none(),
            key: key.unwrap_or_else(BrowserKey::random),
            signed_in: value(SIGNED_IN).map(SecretString::from),
        }))
    }
}

impl Browser {
    /// Who is signed in.
    pub(super) async fn person(&self, state: &AppState) -> Result<Option<SignedIn>, SessionError> {
        match &self.signed_in {
            Some(cookie) => browser::find(state, cookie).await,
            None => Ok(None),
        }
    }

    /// The `Set-Cookie` that makes the browser keep its key, if it does not yet.
    pub(super) fn key_cookie(&self, provider: &Provider) -> Option<String> {
        self.is_new
            .then(|| set_cookie(provider, KEY, self.key.expose()))
    }
}

/// The `Set-Cookie` of somebody who signed in just now.
pub(super) fn signed_in_cookie(provider: &Provider, value: &SecretString) -> String {
    set_cookie(provider, SIGNED_IN, value.expose_secret())
}

/// The `Set-Cookie` of somebody who signed out.
pub(super) fn signed_out_cookie(provider: &Provider) -> String {
    format!("{}; Max-Age=0", set_cookie(provider, SIGNED_IN, ""))
}

fn set_cookie(provider: &Provider, name: &str, value: &str) -> String {
    Cookie::build((full_name(name, provider.is_secure), value))
        .path("/")
        .http_only(true)
        // Sent when an application sends the browser here, not when its page posts a form or loads
        // an image from here.
        .same_site(SameSite::Lax)
        .secure(provider.is_secure)
        .to_string()
}

/// Over TLS with the prefix that keeps other hosts of the domain from setting it (RFC 6265bis,
/// section 4.1.3.2).
fn full_name(name: &str, is_secure: bool) -> String {
    let prefix = if is_secure { "__Host-" } else { "" };
    format!("{prefix}{name}")
}

fn find_cookie(request: &HttpRequest, name: &str) -> Option<String> {
    let headers = request.headers().get_all(COOKIE);
    let mut cookies = headers
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| Cookie::split_parse(header).flatten());
    let found = cookies.find(|cookie| cookie.name() == name);
    found.map(|cookie| cookie.value().to_owned())
}
