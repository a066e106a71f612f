//! Signs somebody in with email and password.
//!
//! Whoever fails learns nothing: an unknown account, a wrong password and a disabled account are
//! answered alike, after a password hash of the same cost.

use std::time::Duration;

use common::ids::UserId;
use common::time::Timestamp;
use secrecy::SecretString;
use store::Tx;

use super::own_sessions;
use crate::client_address::ClientAddress;
use crate::domain::account::Account;
use crate::domain::email::Email;
use crate::domain::session::SessionId;
use crate::error::SessionError;
use crate::hashing::Turn;
use crate::keys::{Minted, RefreshToken};
use crate::state::AppState;
use crate::store::accounts::Credentials;
use crate::store::sessions::{self, NewSession};
use crate::store::{accounts, known_addresses};
use crate::throttle::Attempt;

/// What a client presents.
pub(crate) struct Login {
    pub(crate) email: String,
    pub(crate) password: SecretString,
    pub(crate) address: ClientAddress,
}

/// What a client gets: a short-lived token to call with and one to renew it.
pub(crate) struct Tokens {
    pub(crate) access: Minted,
    pub(crate) refresh: RefreshToken,
}

/// A hash to put in the place of one with outdated parameters.
struct Rehash {
    old: String,
    new: String,
}

/// Opens a session.
pub(crate) async fn log_in(state: &AppState, login: Login) -> Result<Tokens, SessionError> {
    let outcome = try_log_in(state, login).await;
    let label = match &outcome {
        Ok(_) => "succeeded",
        Err(SessionError::BadCredentials) => "refused",
        Err(SessionError::Throttled(_)) => "throttled",
        Err(SessionError::Busy(_)) => "busy",
        Err(_) => "failed",
    };
    metrics::counter!("user_logins_total", "outcome" => label).increment(1);
    outcome
}

async fn try_log_in(state: &AppState, login: Login) -> Result<Tokens, SessionError> {
    // What cannot be an address is no account's; nor need it be a text that the database takes.
    let email_key = Email::parse(login.email.trim()).map_or_else(String::new, |email| email.key());
    let attempt = state.throttle.attempt(&email_key, login.address);
    refuse_if_throttled(state, &attempt, &email_key).await?;
    let turn = state.hasher.turn().await?;
    // Tries that waited in line together must not all pass before the first failure is counted.
    refuse_if_throttled(state, &attempt, &email_key).await?;

    let mut tx = state.db.read().await?;
    let credentials = accounts::find_credentials(&mut tx, &email_key).await?;
    drop(tx);
    let (turn, rehash) = verify(turn, credentials.as_ref(), login.password.clone()).await?;
    let (Some(credentials), Some(outdated)) = (credentials, rehash) else {
        state.throttle.failed(&attempt).await;
        return Err(SessionError::BadCredentials);
    };
    let rehash = if outdated {
        let (_turn, new) = turn.hash(login.password).await?;
        let old = credentials.password_hash;
        Some(Rehash { old, new })
    } else {
        drop(turn);
        None
    };

    let tokens = admit(state, &attempt, credentials.id, rehash).await?;
    state.throttle.succeeded(&attempt).await;
    Ok(tokens)
}

/// Opens a session of the account and remembers its address.
async fn admit(
    state: &AppState,
    attempt: &Attempt,
    id: UserId,
    rehash: Option<Rehash>,
) -> Result<Tokens, SessionError> {
    let mut tx = state.db.begin().await?;
    // Locked, so that an account which is being disabled does not get a session that outlives it.
    let account = accounts::find_account_locked(&mut tx, id).await?;
    let account = account.filter(|account| !account.disabled);
    let account = account.ok_or(SessionError::BadCredentials)?;
    if let Some(Rehash { old, new }) = rehash {
        accounts::update_password_hash(&mut tx, id, &old, &new).await?;
    }
    let now = state.clock.now();
    known_addresses::remember(&mut tx, id, attempt.address_key(), now).await?;
    let tokens = open_session(state, &mut tx, &account, now).await?;
    tx.commit().await?;
    Ok(tokens)
}

async fn refuse_if_throttled(
    state: &AppState,
    attempt: &Attempt,
    email_key: &str,
) -> Result<(), SessionError> {
    let waits = state.throttle.waits(attempt).await;
    if let Some(wait) = waits.always {
        return Err(SessionError::Throttled(wait));
    }
    let Some(wait) = waits.at_unknown_address else {
        return Ok(());
    };
    let mut tx = state.db.read().await?;
    if known_addresses::is_known(&mut tx, email_key, attempt.address_key()).await? {
        Ok(())
    } else {
        Err(SessionError::Throttled(wait))
    }
}

/// `None` for whoever may not sign in; else whether the stored hash is outdated.
async fn verify(
    turn: Turn,
    credentials: Option<&Credentials>,
    password: SecretString,
) -> Result<(Turn, Option<bool>), SessionError> {
    let stored = credentials.map(|credentials| credentials.password_hash.clone());
    let (turn, verification) = turn.verify(password, stored).await?;
    let enabled = credentials.is_some_and(|credentials| !credentials.disabled);
    let accepted = verification.matches && enabled;
    Ok((turn, accepted.then_some(verification.outdated)))
}

async fn open_session(
    state: &AppState,
    tx: &mut Tx,
    account: &Account,
    now: Timestamp,
) -> Result<Tokens, SessionError> {
    let session = NewSession {
        id: SessionId::new(&state.clock),
        user_id: account.id,
        created_at: now,
        expires_at: now.plus(state.session_limits.life),
    };
    let refresh = state.refresh_tokens.first();
    sessions::insert_session(tx, &session).await?;
    own_sessions::remember_origin(state, tx, session.id).await?;
    sessions::insert_refresh_token(tx, &refresh.hash(), session.id, now).await?;
    let access = state.mint.access(account, session.id)?;
    tracing::info!(user.id = %account.id, session.id = %session.id, "signed in");
    Ok(Tokens { access, refresh })
}

/// When to come back after finding the queue full.
pub(crate) const BUSY_RETRY_AFTER: Duration = Duration::from_secs(2);
