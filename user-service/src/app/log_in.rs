//! Signs somebody in with email and password.
//!
//! Whoever fails learns nothing: an unknown account, a wrong password and a disabled account are
//! answered alike, after a password hash of the same cost.

use std::time::Duration;

use common::ids::UserId;
use secrecy::SecretString;
use store::Tx;

use super::acting::acting_at;
use super::mfa::{self, Challenge};
use super::{failed_logins, own_sessions};
use crate::client_address::ClientAddress;
use crate::domain::account::Account;
use crate::domain::device::PosDevice;
use crate::domain::email::Email;
use crate::domain::session::SessionId;
use crate::error::SessionError;
use crate::hashing::{Busy, Turn};
use crate::keys::{Minted, RefreshToken, TokenHolder};
use crate::state::AppState;
use crate::store::accounts::Candidate;
use crate::store::sessions::{self, NewSession};
use crate::store::{accounts, known_addresses, pos_devices};
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
    pub(crate) session: SessionId,
    /// The session can do nothing but add a second factor, which this account needs.
    pub(crate) mfa_enrolment_required: bool,
}

/// How a login ends whose password was right.
pub(crate) enum LoggedIn {
    Tokens(Tokens),
    /// The account has a second factor; nobody is signed in before it was shown.
    SecondFactor(Challenge),
}

/// Where a session is opened, and so where it holds and how long.
pub(crate) enum Place<'a> {
    Anywhere,
    /// In the store of this terminal alone, and for a short time.
    Terminal(&'a PosDevice),
}

/// A hash to put in the place of one with outdated parameters.
struct Rehash {
    old: String,
    new: String,
}

/// Opens a session, or lets it wait for the account's second factor.
pub(crate) async fn log_in(state: &AppState, login: Login) -> Result<LoggedIn, SessionError> {
    let outcome = try_log_in(state, login).await;
    let label = match &outcome {
        Ok(LoggedIn::Tokens(_)) => "succeeded",
        Ok(LoggedIn::SecondFactor(_)) => "challenged",
        Err(SessionError::BadCredentials) => "refused",
        Err(SessionError::Throttled(_)) => "throttled",
        Err(SessionError::Busy(_)) => "busy",
        Err(_) => "failed",
    };
    metrics::counter!("user_logins_total", "outcome" => label).increment(1);
    outcome
}

async fn try_log_in(state: &AppState, login: Login) -> Result<LoggedIn, SessionError> {
    // What cannot be an address is no account's; nor need it be a text that the database takes.
    let email_key = Email::parse(login.email.trim()).map_or_else(String::new, |email| email.key());
    let attempt = state.throttle.attempt(&email_key, login.address);
    Box::pin(refuse_if_throttled(state, &attempt, &email_key)).await?;
    let place = state.hasher.place()?;
    // Boxed, here, above and below: many wait for their turn at once, each with no more memory than it
    // needs until then.
    let candidate = Box::pin(find_candidate(state, &attempt, &email_key)).await?;
    let turn = place.turn().await;
    Box::pin(take_turn(
        state,
        login,
        (attempt, email_key),
        (turn, candidate),
    ))
    .await
}

async fn find_candidate(
    state: &AppState,
    attempt: &Attempt,
    email_key: &str,
) -> Result<Option<Box<Candidate>>, SessionError> {
    // Whatever changes between its statements, or until the password is verified, is found then.
    let mut tx = state.db.glance().await?;
    let found = accounts::find_candidate(&mut tx, email_key, attempt.address_key()).await?;
    Ok(found.map(Box::new))
}

/// Checks a login whose turn it is, against what was stored when it took its place.
async fn take_turn(
    state: &AppState,
    login: Login,
    (attempt, email_key): (Attempt, String),
    (turn, candidate): (Turn, Option<Box<Candidate>>),
) -> Result<LoggedIn, SessionError> {
    // Tries that waited in line together must not all pass before the first failure is counted.
    refuse_if_throttled(state, &attempt, &email_key).await?;
    let (turn, rehash) = verify(turn, candidate.as_deref(), login.password.clone()).await?;
    let known = candidate.as_ref().map(|candidate| candidate.account.id);
    let (Some(candidate), Some(outdated)) = (candidate, rehash) else {
        failed_logins::count(state, &attempt, known).await?;
        return Err(SessionError::BadCredentials);
    };
    let rehash = if outdated {
        let (_turn, new) = turn.hash(login.password).await?;
        let old = candidate.password_hash.clone();
        Some(Rehash { old, new })
    } else {
        drop(turn);
        None
    };

    let logged_in = admit(state, &attempt, *candidate, rehash).await?;
    if matches!(logged_in, LoggedIn::Tokens(_)) {
        state.throttle.succeeded(&attempt).await;
    }
    Ok(logged_in)
}

/// Opens a session of an account whose holder proved themselves otherwise than with the password, by
/// two factors at once.
pub(crate) async fn admit_proved(
    state: &AppState,
    attempt: &Attempt,
    id: UserId,
) -> Result<Tokens, SessionError> {
    let mut tx = state.db.begin().await?;
    let account = find_enabled(&mut tx, id).await?;
    welcome(state, tx, attempt, account).await
}

/// How long an address counts as seen just now: writing down each login would be one more change of
/// the database for nothing.
const REMEMBERED_ANEW: Duration = Duration::from_secs(3_600);

/// Opens a session of the account and remembers its address, or asks for its second factor.
async fn admit(
    state: &AppState,
    attempt: &Attempt,
    candidate: Candidate,
    rehash: Option<Rehash>,
) -> Result<LoggedIn, SessionError> {
    let (id, mut tx) = (candidate.account.id, state.db.begin().await?);
    let verified = accounts::find_verified_locked(&mut tx, id, &candidate.password_hash).await?;
    // Disabled or changed meanwhile, or another login renewed the hash: another try knows.
    let verified = verified.ok_or(Busy)?;
    if let Some(Rehash { old, new }) = rehash {
        accounts::update_password_hash(&mut tx, id, &old, &new).await?;
    }
    let methods = mfa::methods(verified.factors);
    if !methods.is_empty() {
        let challenge = mfa::challenge::begin(state, &mut tx, id, methods).await?;
        tx.commit().await?;
        return Ok(LoggedIn::SecondFactor(challenge));
    }
    let account = if verified.version == candidate.account.version {
        candidate.account
    } else {
        // It has other roles or stores by now.
        accounts::find_account(&mut tx, id).await?.ok_or(Busy)?
    };
    let now = state.clock.now();
    if candidate
        .seen_at
        .is_none_or(|at| now.since(at) >= REMEMBERED_ANEW)
    {
        known_addresses::remember(&mut tx, id, attempt.address_key(), now).await?;
    }
    let tokens = open_session(state, &mut tx, account, Place::Anywhere).await?;
    tx.commit().await?;
    Ok(LoggedIn::Tokens(tokens))
}

/// The account, locked, so that one which is being disabled, or whose password is being changed, does
/// not get a session that outlives that.
async fn find_enabled(tx: &mut Tx, id: UserId) -> Result<Account, SessionError> {
    let account = accounts::find_account_locked(tx, id).await?;
    let account = account.filter(|account| !account.disabled);
    account.ok_or(SessionError::BadCredentials)
}

/// Remembers the address of whoever proved themselves, and opens their session.
pub(super) async fn welcome(
    state: &AppState,
    mut tx: Tx,
    attempt: &Attempt,
    account: Account,
) -> Result<Tokens, SessionError> {
    let now = state.clock.now();
    known_addresses::remember(&mut tx, account.id, attempt.address_key(), now).await?;
    let tokens = open_session(state, &mut tx, account, Place::Anywhere).await?;
    tx.commit().await?;
    Ok(tokens)
}

/// Refuses a try that has to wait; `email_key` says at whose known addresses it need not.
pub(super) async fn refuse_if_throttled(
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
    candidate: Option<&Candidate>,
    password: SecretString,
) -> Result<(Turn, Option<bool>), SessionError> {
    let stored = candidate.map(|candidate| candidate.password_hash.clone());
    let (turn, verification) = turn.verify(password, stored).await?;
    let enabled = candidate.is_some_and(|candidate| !candidate.account.disabled);
    let accepted = verification.matches && enabled;
    Ok((turn, accepted.then_some(verification.outdated)))
}

/// Opens a session of an account that proved itself.
pub(super) async fn open_session(
    state: &AppState,
    tx: &mut Tx,
    account: Account,
    place: Place<'_>,
) -> Result<Tokens, SessionError> {
    let now = state.clock.now();
    let life = match place {
        Place::Anywhere => state.session_limits.life,
        Place::Terminal(_) => state.pin_session_life,
    };
    let session = NewSession {
        id: SessionId::new(&state.clock),
        user_id: account.id,
        created_at: now,
        expires_at: now.plus(life),
        origin: own_sessions::origin(state),
    };
    let refresh = state.refresh_tokens.first(TokenHolder::Account);
    sessions::insert_session(tx, &session).await?;
    sessions::insert_refresh_token(tx, &refresh.hash(), session.id, now).await?;
    let store = match place {
        Place::Anywhere => None,
        Place::Terminal(device) => {
            pos_devices::bind_session(tx, session.id, device).await?;
            Some(device.store_id)
        }
    };
    let acting = acting_at(state, tx, account, store).await?;
    let access = state.mint.access(&acting.account, session.id)?;
    tracing::info!(user.id = %acting.account.id, session.id = %session.id, "signed in");
    Ok(Tokens {
        access,
        refresh,
        session: session.id,
        mfa_enrolment_required: acting.mfa_enrolment_required,
    })
}

/// When to come back after finding the queue full.
pub(crate) const BUSY_RETRY_AFTER: Duration = Duration::from_secs(2);
