//! Signs somebody in with email and password.
//!
//! Whoever fails learns nothing: an unknown account, a wrong password and a disabled account are
//! answered alike, after a password hash of the same cost.

mod admission;

use std::time::Duration;

use common::ids::UserId;
use hashing::{Busy, Turn};
use secrecy::SecretString;
use store::Tx;

pub(crate) use self::admission::Admissions;
use self::admission::{Admission, Admitted};
use super::acting::{Acting, acting_at};
use super::mfa::{self, Challenge};
use super::{failed_logins, own_sessions};
use crate::client_address::ClientAddress;
use crate::domain::account::Account;
use crate::domain::device::PosDevice;
use crate::domain::email::Email;
use crate::domain::session::SessionId;
use crate::error::SessionError;
use crate::keys::{Minted, RefreshToken, TokenHolder};
use crate::state::AppState;
use crate::store::accounts::{Candidate, Credentials};
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
    // Boxed, above and below: many wait here at once, each with no more memory than it needs until then.
    let front = place.front().await;
    let candidate = Box::pin(find_candidate(state, &attempt, &email_key)).await?;
    let turn = front.turn().await;
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
    // Whatever changes until the password is verified is found then.
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
    let credentials = candidate.as_ref().map(|candidate| &candidate.credentials);
    let (turn, rehash) = verify(turn, credentials, login.password.clone()).await?;
    let known = credentials.map(|credentials| credentials.id);
    let (Some(candidate), Some(outdated)) = (candidate, rehash) else {
        failed_logins::count(state, &attempt, known).await?;
        return Err(SessionError::BadCredentials);
    };
    let (turn, new_hash) = if outdated {
        let (turn, new) = turn.hash(login.password).await?;
        (turn, Some(new))
    } else {
        (turn, None)
    };
    turn.end().await;

    let logged_in = admit(state, &attempt, *candidate, new_hash).await?;
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
    new_hash: Option<String>,
) -> Result<LoggedIn, SessionError> {
    let seen_lately = |at| state.clock.now().since(at) < REMEMBERED_ANEW;
    let is_remembered = candidate.last_seen_at.is_some_and(seen_lately);
    let credentials = candidate.credentials;
    let session = new_session(state, credentials.id, state.session_limits.life);
    let refresh = state.refresh_tokens.first(TokenHolder::Account);
    let id = session.id;
    let admission = Admission {
        verified_hash: credentials.password_hash,
        new_hash,
        address_key: (!is_remembered).then(|| attempt.address_key().to_owned()),
        session,
        refresh_hash: refresh.hash(),
    };
    match state.admissions.run(admission).await? {
        Admitted::Opened(account) => {
            // It has none.
            let mfa_enrolment_required = mfa::is_required(state, &account);
            let acting = Acting::new(account, mfa_enrolment_required);
            Ok(LoggedIn::Tokens(tokens(state, &acting, (id, refresh))?))
        }
        Admitted::Challenged(challenge) => Ok(LoggedIn::SecondFactor(challenge)),
        // Another try knows.
        Admitted::Changed => Err(Busy.into()),
    }
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
    match wait_at_unknown_address(state, attempt).await? {
        Some(wait) => {
            let mut tx = state.db.read().await?;
            refuse_unless_known(&mut tx, attempt, email_key, wait).await
        }
        None => Ok(()),
    }
}

/// The same in a transaction whose locks let one try after the other through.
pub(super) async fn refuse_if_throttled_in(
    state: &AppState,
    tx: &mut Tx,
    attempt: &Attempt,
    email_key: &str,
) -> Result<(), SessionError> {
    match wait_at_unknown_address(state, attempt).await? {
        Some(wait) => refuse_unless_known(tx, attempt, email_key, wait).await,
        None => Ok(()),
    }
}

/// How long a try has to wait at an address from which the account never signed in; refused when it
/// has to wait at any.
async fn wait_at_unknown_address(
    state: &AppState,
    attempt: &Attempt,
) -> Result<Option<Duration>, SessionError> {
    let waits = state.throttle.waits(attempt).await;
    match waits.always {
        Some(wait) => Err(SessionError::Throttled(wait)),
        None => Ok(waits.at_unknown_address),
    }
}

async fn refuse_unless_known(
    tx: &mut Tx,
    attempt: &Attempt,
    email_key: &str,
    wait: Duration,
) -> Result<(), SessionError> {
    if known_addresses::is_known(tx, email_key, attempt.address_key()).await? {
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

/// Opens a session of an account that proved itself.
pub(super) async fn open_session(
    state: &AppState,
    tx: &mut Tx,
    account: Account,
    place: Place<'_>,
) -> Result<Tokens, SessionError> {
    let life = match place {
        Place::Anywhere => state.session_limits.life,
        Place::Terminal(_) => state.pin_session_life,
    };
    let session = new_session(state, account.id, life);
    let refresh = state.refresh_tokens.first(TokenHolder::Account);
    let token = (&*refresh.hash(), session.id);
    sessions::insert_sessions(tx, &[&session]).await?;
    sessions::insert_refresh_tokens(tx, &[token], session.created_at).await?;
    let store = match place {
        Place::Anywhere => None,
        Place::Terminal(device) => {
            pos_devices::bind_session(tx, session.id, device).await?;
            Some(device.store_id)
        }
    };
    let acting = acting_at(state, tx, account, store).await?;
    tokens(state, &acting, (session.id, refresh))
}

/// A session of whoever asks now.
fn new_session(state: &AppState, user_id: UserId, life: Duration) -> NewSession {
    let now = state.clock.now();
    NewSession {
        id: SessionId::new(&state.clock),
        user_id,
        created_at: now,
        expires_at: now.plus(life),
        origin: own_sessions::origin(state),
    }
}

/// What whoever asked gets of an open session.
fn tokens(
    state: &AppState,
    acting: &Acting,
    (session, refresh): (SessionId, RefreshToken),
) -> Result<Tokens, SessionError> {
    let access = state.mint.access(&acting.account, session)?;
    tracing::info!(user.id = %acting.account.id, session.id = %session, "signed in");
    Ok(Tokens {
        access,
        refresh,
        session,
        mfa_enrolment_required: acting.mfa_enrolment_required,
    })
}

/// When to come back after finding the queue full.
pub(crate) const BUSY_RETRY_AFTER: Duration = Duration::from_secs(2);
