//! Renews tokens. Each refresh token is good for one use; its successor takes its place.
//!
//! A client that repeats a refresh within the grace, because the answer was lost or because two of
//! its windows asked at once, gets the same successor. A use after that means that two parties hold
//! the token; which of them is the thief cannot be told, so the session ends for both
//! (RFC 9700, section 4.14.2).

use common::ids::UserId;
use contracts::events::MailTemplate;
use secrecy::SecretString;
use store::{StoreError, Tx};
use uuid::Uuid;

use super::acting::acting;
use super::log_in::Tokens;
use super::mail::{self, Mail};
use crate::audit::{self, Actor, Entry};
use crate::domain::session::{RefreshVerdict, RevokeReason, SessionId};
use crate::error::SessionError;
use crate::keys::{RefreshToken, TokenHolder};
use crate::state::AppState;
use crate::store::sessions::{self, StoredRefresh};
use crate::store::{accounts, profiles};

/// Exchanges a refresh token for its successor and a new access token.
pub(crate) async fn refresh(
    state: &AppState,
    presented: &SecretString,
) -> Result<Tokens, SessionError> {
    let outcome = try_refresh(state, presented).await;
    let label = match &outcome {
        Ok(_) => "succeeded",
        Err(SessionError::RefreshRefused) => "refused",
        Err(SessionError::RefreshReused) => "reused",
        Err(_) => "failed",
    };
    metrics::counter!("user_refreshes_total", "outcome" => label).increment(1);
    outcome
}

async fn try_refresh(state: &AppState, presented: &SecretString) -> Result<Tokens, SessionError> {
    let presented = RefreshToken::parse(presented, TokenHolder::Account);
    let presented = presented.ok_or(SessionError::RefreshRefused)?;
    let Taken {
        mut tx,
        user,
        session,
        successor,
    } = take(state, state.db.begin().await?, &presented).await?;
    // Roles and stores as they are now, not as they were at the login.
    let account = accounts::find_account(&mut tx, user).await?;
    let account = account.ok_or(SessionError::RefreshRefused)?;
    let acting = acting(state, &mut tx, account, session).await?;
    let access = state.mint.access(&acting.account, session)?;
    tx.commit().await?;
    Ok(Tokens {
        access,
        refresh: successor,
        session,
        mfa_enrolment_required: acting.mfa_enrolment_required,
    })
}

/// A refresh token that was taken, in a transaction that is still open.
pub(crate) struct Taken {
    pub(crate) tx: Tx,
    pub(crate) user: UserId,
    pub(crate) session: SessionId,
    /// What takes its place.
    pub(crate) successor: RefreshToken,
}

/// Takes a refresh token for its one use. One that was used long ago ends its session, and the
/// transaction with it.
pub(crate) async fn take(
    state: &AppState,
    mut tx: Tx,
    presented: &RefreshToken,
) -> Result<Taken, SessionError> {
    let stored = sessions::find_refresh_locked(&mut tx, &presented.hash()).await?;
    let stored = stored.ok_or(SessionError::RefreshRefused)?;
    let now = state.clock.now();
    let verdict = state.session_limits.judge(&stored.state, now);
    let successor = match (verdict, stored.successor_id) {
        (RefreshVerdict::Rotate, _) => rotate(state, &mut tx, presented, &stored).await?,
        (RefreshVerdict::Repeat, Some(id)) => {
            state
                .refresh_tokens
                .successor(stored.session_id, id, presented)
        }
        (RefreshVerdict::Ended, _) => return Err(SessionError::RefreshRefused),
        (RefreshVerdict::Reused | RefreshVerdict::Repeat, _) => {
            sessions::revoke_session(&mut tx, stored.session_id, RevokeReason::Reuse, now).await?;
            let entry = Entry::new(Actor::Unknown, "refresh_token.reused");
            let entry = entry.on("session", stored.session_id);
            let owner = serde_json::json!({"account": stored.user_id});
            audit::record(state, &mut tx, entry.after(owner)).await?;
            state.revocations.follows(&mut tx);
            tell(state, &mut tx, stored.user_id).await?;
            tx.commit().await?;
            tracing::warn!(
                user.id = %stored.user_id,
                session.id = %stored.session_id,
                "a refresh token was used again; its session is revoked"
            );
            return Err(SessionError::RefreshReused);
        }
    };
    Ok(Taken {
        tx,
        user: stored.user_id,
        session: stored.session_id,
        successor,
    })
}

async fn rotate(
    state: &AppState,
    tx: &mut Tx,
    presented: &RefreshToken,
    stored: &StoredRefresh,
) -> Result<RefreshToken, SessionError> {
    let now = state.clock.now();
    let (session, id) = (stored.session_id, Uuid::new_v4());
    let successor = state.refresh_tokens.successor(session, id, presented);
    sessions::use_refresh_token(tx, &presented.hash(), session, id, now).await?;
    sessions::insert_refresh_tokens(tx, &[(&successor.hash(), session)], now).await?;
    Ok(successor)
}

/// Tells the person that a session of theirs was ended, because somebody else may have its tokens.
async fn tell(state: &AppState, tx: &mut Tx, id: UserId) -> Result<(), StoreError> {
    let Some(account) = accounts::find_account(tx, id).await? else {
        return Ok(());
    };
    let locale = profiles::find_locale(tx, id).await?;
    let variables = [("display_name", &*account.display_name)];
    let template = MailTemplate::SessionReused;
    let news = Mail::news(&account.email, template, locale.as_deref(), &variables);
    mail::request(state, tx, &news).await
}
