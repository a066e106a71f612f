//! Tells an application who it acts for (OpenID Connect Core 1.0, section 5.3).

use common::auth::Principal;
use serde::Serialize;

use super::scopes::{EMAIL, OPENID, PROFILE};
use crate::app::whoami::caller;
use crate::error::SessionError;
use crate::state::AppState;

/// Claims about a person, as far as the scopes go.
#[derive(Debug, Serialize)]
pub(crate) struct UserInfo {
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

/// The claims, or `None` when the token is none that may ask.
pub(crate) async fn userinfo(
    state: &AppState,
    principal: &Principal,
) -> Result<Option<UserInfo>, SessionError> {
    let Some(delegation) = principal
        .delegation
        .as_ref()
        .filter(|given| given.has(OPENID))
    else {
        return Ok(None);
    };
    let mut tx = state.db.read().await?;
    let account = caller(state, &mut tx, principal).await?;
    let profile = delegation.has(PROFILE);
    Ok(Some(UserInfo {
        sub: account.id.to_string(),
        updated_at: profile.then(|| account.updated_at.as_unix_seconds()),
        name: profile.then_some(account.display_name),
        email: delegation.has(EMAIL).then_some(account.email),
    }))
}
