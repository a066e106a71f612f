//! Tells an application who it acts for (OpenID Connect Core 1.0, section 5.3).

use common::auth::OpenIdCaller;
use serde::Serialize;

use super::scopes::{EMAIL, PROFILE};
use crate::app::whoami;
use crate::error::SessionError;
use crate::state::AppState;

/// Claims about a person, as far as the scopes go.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct UserInfo {
    /// The account.
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Its display name, with the scope `profile`.
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// When it last changed, in seconds since 1970, with the scope `profile`.
    updated_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Its email, with the scope `email`.
    email: Option<String>,
}

/// The claims.
pub(crate) async fn userinfo(
    state: &AppState,
    caller: &OpenIdCaller,
) -> Result<UserInfo, SessionError> {
    let mut tx = state.db.read().await?;
    let account = whoami::caller(state, &mut tx, &caller.principal).await?;
    let profile = caller.delegation.has(PROFILE);
    let email = caller.delegation.has(EMAIL);
    Ok(UserInfo {
        sub: account.id.to_string(),
        updated_at: profile.then(|| account.updated_at.as_unix_seconds()),
        name: profile.then_some(account.display_name),
        email: email.then_some(account.email),
    })
}
