//! Exchanges an authorization code for tokens (RFC 6749, section 4.1.3).

use std::time::Duration;

use ::store::Tx;
use secrecy::{ExposeSecret, SecretString};

use super::client::{Client, hash_of};
use super::error::GrantError;
use super::pkce;
use super::scopes::OFFLINE_ACCESS;
use super::store::codes::{self, StoredCode};
use super::store::grants::{self, Grant};
use super::store::{clients, consents};
use super::token::{Issued, Issuing, issue};
use crate::app::acting::acting;
use crate::audit::{self, Actor, Entry};
use crate::domain::account::Account;
use crate::domain::session::{RevokeReason, SessionId};
use crate::keys::{RefreshToken, TokenHolder};
use crate::state::AppState;
use crate::store::accounts;
use crate::store::sessions::{self, NewSession, Origin};

const BAD_CODE: GrantError = GrantError::InvalidGrant("the code is not valid");

/// Used codes are remembered for this long after their end.
pub(crate) const MEMORY: Duration = Duration::from_secs(24 * 3_600);

/// What an application presents.
pub(crate) struct Exchange {
    pub(crate) code: SecretString,
    pub(crate) redirect_uri: String,
    pub(crate) verifier: SecretString,
}

/// Exchanges a code, once. A second use means that somebody else has it: what the first one gave
/// is taken back (RFC 6749, section 4.1.2).
pub(crate) async fn exchange(
    state: &AppState,
    client: &Client,
    asked: &Exchange,
) -> Result<Issued, GrantError> {
    let now = state.clock.now();
    let hash = hash_of(asked.code.expose_secret());
    let mut tx = state.db.begin().await?;
    still_in_force(&mut tx, client).await?;
    let code = codes::find_locked(&mut tx, &hash).await?.ok_or(BAD_CODE)?;
    if code.client != client.id {
        return Err(BAD_CODE);
    }
    if code.used {
        return Err(take_back(state, tx, &code).await?);
    }
    judge(&code, asked)?;
    if code.expires_at <= now {
        return Err(GrantError::InvalidGrant("the code has expired"));
    }
    still_allowed(&mut tx, &code).await?;
    let account = still_signed_in(state, &mut tx, &code).await?;
    let grant = open_grant(state, &mut tx, &code).await?;
    let account = acting(state, &mut tx, account, grant.session)
        .await?
        .account;
    codes::mark_used(&mut tx, &hash, grant.session, now).await?;
    let refresh = match grant.scopes.contains(OFFLINE_ACCESS) {
        true => Some(first_refresh_token(state, &mut tx, grant.session).await?),
        false => None,
    };
    let issued = issue(
        state,
        &Issuing {
            account: &account,
            grant: &grant,
            scopes: &grant.scopes,
            nonce: code.nonce.as_deref(),
        },
        refresh,
    )?;
    tx.commit().await?;
    tracing::info!(user.id = %account.id, client.id = %client.id, session.id = %grant.session, "an application may act for an account");
    Ok(issued)
}

fn judge(code: &StoredCode, asked: &Exchange) -> Result<(), GrantError> {
    if code.redirect_uri != asked.redirect_uri {
        return Err(GrantError::InvalidGrant(
            "redirect_uri is another than the code's",
        ));
    }
    if !pkce::verifies(&code.challenge, asked.verifier.expose_secret()) {
        return Err(GrantError::InvalidGrant("code_verifier is not the code's"));
    }
    Ok(())
}

async fn take_back(
    state: &AppState,
    mut tx: Tx,
    code: &StoredCode,
) -> Result<GrantError, GrantError> {
    if let Some(session) = code.session {
        let now = state.clock.now();
        sessions::revoke_session(&mut tx, session, RevokeReason::Reuse, now).await?;
    }
    state.revocations.follows(&mut tx);
    let entry = Entry::new(Actor::Unknown, "authorization_code.reused");
    let entry = entry.on("application", code.client);
    let owner = serde_json::json!({"account": code.user});
    audit::record(state, &mut tx, entry.after(owner)).await?;
    tx.commit().await?;
    tracing::warn!(user.id = %code.user, client.id = %code.client, "an authorization code was used again; what it gave is revoked");
    Ok(BAD_CODE)
}

/// Locked first, as by whoever changes an application, so that one which is being disabled does not get
/// a session that outlives it.
async fn still_in_force(tx: &mut Tx, client: &Client) -> Result<(), GrantError> {
    let now = clients::find_locked(tx, client.id).await?;
    let in_force = now.is_some_and(|now| !now.disabled && now.secret_hash == client.secret_hash);
    in_force.then_some(()).ok_or(GrantError::InvalidClient)
}

/// Whoever took the consent back since the code was issued gives nothing away.
async fn still_allowed(tx: &mut Tx, code: &StoredCode) -> Result<(), GrantError> {
    // Locked, so that a consent which is being taken back does not get a session that outlives it.
    let allowed = consents::find_locked(tx, code.user, code.client).await?;
    let allowed = allowed.filter(|allowed| code.scopes.is_subset_of(allowed));
    allowed.map(drop).ok_or(BAD_CODE)
}

/// Whoever signed out, or was disabled, since the code was issued gives nothing away.
async fn still_signed_in(
    state: &AppState,
    tx: &mut Tx,
    code: &StoredCode,
) -> Result<Account, GrantError> {
    // Locked, so that an account which is being disabled does not get a session that outlives it.
    let account = accounts::find_account_locked(tx, code.user).await?;
    let account = account.ok_or(BAD_CODE)?;
    let now = state.clock.now();
    let signed_in = accounts::find_in_session(tx, code.browser, now).await?;
    signed_in.map(|_same| account).ok_or(BAD_CODE)
}

async fn open_grant(state: &AppState, tx: &mut Tx, code: &StoredCode) -> Result<Grant, GrantError> {
    let now = state.clock.now();
    let session = NewSession {
        id: SessionId::new(&state.clock),
        user_id: code.user,
        created_at: now,
        expires_at: now.plus(state.session_limits.life),
        origin: Origin::default(),
    };
    let grant = Grant {
        session: session.id,
        client: code.client,
        browser: code.browser,
        scopes: code.scopes.clone(),
        authentication: code.authentication.clone(),
    };
    sessions::insert_sessions(tx, &[&session]).await?;
    grants::insert(tx, &grant).await?;
    Ok(grant)
}

async fn first_refresh_token(
    state: &AppState,
    tx: &mut Tx,
    session: SessionId,
) -> Result<RefreshToken, GrantError> {
    let token = state.refresh_tokens.first(TokenHolder::Application);
    let now = state.clock.now();
    sessions::insert_refresh_tokens(tx, &[(&token.hash(), session)], now).await?;
    Ok(token)
}
