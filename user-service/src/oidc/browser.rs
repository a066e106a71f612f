//! A browser, and who signed in on the provider's page in it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::ids::UserId;
use common::time::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::client::{hash_of, random_token};
use super::store::browsers;
use crate::domain::account::Account;
use crate::domain::session::{RevokeReason, SessionId};
use crate::error::SessionError;
use crate::keys::random;
use crate::state::AppState;
use crate::store::{accounts, sessions};

const KEY_BYTES: usize = 32;

/// Tells browsers apart before anybody signs in; forms are bound to it.
#[derive(Clone, Debug)]
pub(crate) struct BrowserKey(SecretString);

impl BrowserKey {
    pub(crate) fn random() -> Self {
        Self(URL_SAFE_NO_PAD.encode(random::<KEY_BYTES>()).into())
    }

    /// Reads a cookie's value; `None` for what was not made here.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let decoded = URL_SAFE_NO_PAD.decode(text).ok()?;
        (decoded.len() == KEY_BYTES).then(|| Self(text.into()))
    }

    /// The cookie's value.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// How somebody proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authentication {
    pub(crate) at: Timestamp,
    /// Authentication method references (RFC 8176, section 2).
    pub(crate) methods: Vec<String>,
}

/// Somebody who is signed in in a browser.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn {
    pub(crate) session: SessionId,
    pub(crate) account: Account,
    pub(crate) authentication: Authentication,
}

/// Who is signed in in the browser with this cookie, if that is still in force.
pub(crate) async fn find(
    state: &AppState,
    cookie: &SecretString,
) -> Result<Option<SignedIn>, SessionError> {
    let mut tx = state.db.read().await?;
    let hash = hash_of(cookie.expose_secret());
    let Some(browser) = browsers::find_by_cookie(&mut tx, &hash).await? else {
        return Ok(None);
    };
    let now = state.clock.now();
    if now.since(browser.authentication.at) > state.oidc.browser_life {
        return Ok(None);
    }
    let account = accounts::find_in_session(&mut tx, browser.session, now).await?;
    Ok(account.map(|account| SignedIn {
        session: browser.session,
        account,
        authentication: browser.authentication,
    }))
}

/// Lets a session that was opened just now be the browser's. Returns the cookie: a new one, so that
/// nobody who knew an earlier one is signed in with it.
pub(crate) async fn remember(
    state: &AppState,
    session: SessionId,
    methods: &[&str],
) -> Result<SecretString, SessionError> {
    let cookie = random_token("");
    let authentication = Authentication {
        at: state.clock.now(),
        methods: methods.iter().map(|&method| method.to_owned()).collect(),
    };
    let mut tx = state.db.begin().await?;
    let hash = hash_of(cookie.expose_secret());
    browsers::insert(&mut tx, session, &hash, &authentication).await?;
    tx.commit().await?;
    Ok(cookie)
}

/// Signs the browser out, and ends what applications may do only while somebody is signed in
/// (OpenID Connect Back-Channel Logout 1.0, section 2.7).
pub(crate) async fn sign_out(
    state: &AppState,
    session: SessionId,
    user: UserId,
) -> Result<(), SessionError> {
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    let dependent = browsers::list_grants_that_end_with(&mut tx, session).await?;
    for ended in dependent.into_iter().chain([session]) {
        sessions::revoke_session(&mut tx, ended, RevokeReason::Logout, now).await?;
    }
    state.revocations.follows(&mut tx);
    tx.commit().await?;
    tracing::info!(user.id = %user, session.id = %session, "signed out of a browser");
    Ok(())
}

/// How long a sign-in on the provider's page lasts.
pub(crate) fn life_of(hours: u32) -> Duration {
    Duration::from_secs(u64::from(hours) * 3_600)
}
