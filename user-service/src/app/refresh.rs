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
use crate::domain::session::{RefreshVerdict, RevokeReason};
use crate::error::SessionError;
use crate::keys::RefreshToken;
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
    let presented = RefreshToken::parse(presented).ok_or(SessionError::RefreshRefused)?;
    let mut tx = state.db.begin().await?;
    let stored = sessions::find_refresh_locked(&mut tx, &presented.hash()).await?;
    let stored = stored.ok_or(SessionError::RefreshRefused)?;
    let now = state.clock.now();
    let verdict = state.session_limits.judge(&stored.state, now);
    let successor = match (verdict, stored.successor_id) {
        (RefreshVerdict::Rotate, _) => rotate(state, &mut tx, &presented, &stored).await?,
        (RefreshVerdict::Repeat, Some(id)) => {
            state
                .refresh_tokens
                .successor(stored.session_id, id, &presented)
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
    // Roles and stores as they are now, not as they were at the login.
    let account = accounts::find_account(&mut tx, stored.user_id).await?;
    let account = account.ok_or(SessionError::RefreshRefused)?;
    let acting = acting(state, &mut tx, account, stored.session_id).await?;
    let access = state.mint.access(&acting.account, stored.session_id)?;
    tx.commit().await?;
    Ok(Tokens {
        access,
        refresh: successor,
        mfa_enrolment_required: acting.mfa_enrolment_required,
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
    sessions::insert_refresh_token(tx, &successor.hash(), session, now).await?;
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
