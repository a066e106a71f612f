//! A login that waits for its second factor, and the answer to it.

use std::time::Duration;

use common::ids::UserId;
use common::time::Timestamp;
use secrecy::SecretString;
use store::{StoreError, Tx};

use super::{MfaMethod, methods_of, recovery, totp};
use crate::app::failed_logins;
use crate::app::log_in::{Tokens, refuse_if_throttled, refuse_if_throttled_in, welcome};
use crate::client_address::ClientAddress;
use crate::domain::account::Account;
use crate::error::CredentialError;
use crate::keys::{OpaqueToken, TokenKind};
use crate::state::AppState;
use crate::store::{accounts, factors};
use crate::throttle::Door;

/// Wrong answers after which a login has to begin anew.
const MAX_FAILURES: i64 = 5;

/// What a client gets in the place of tokens.
pub(crate) struct Challenge {
    pub(crate) token: OpaqueToken,
    pub(crate) methods: Vec<MfaMethod>,
    pub(crate) expires_in_seconds: u32,
}

/// Lets the login of an account wait for one of these, from now on and so long.
pub(crate) async fn begin(
    tx: &mut Tx,
    user: UserId,
    methods: Vec<MfaMethod>,
    (now, life): (Timestamp, Duration),
) -> Result<Challenge, StoreError> {
    let token = OpaqueToken::new(TokenKind::Challenge);
    factors::insert_challenge(tx, &token.hash(), user, now.plus(life)).await?;
    Ok(Challenge {
        token,
        methods,
        expires_in_seconds: u32::try_from(life.as_secs()).unwrap_or(u32::MAX),
    })
}

/// What a typed second factor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// A code of the generator.
    Totp,
    /// A recovery code.
    RecoveryCode,
}

impl Typed {
    /// What a challenge that it answers has offered.
    const fn method(self) -> MfaMethod {
        match self {
            Self::Totp => MfaMethod::Totp,
            Self::RecoveryCode => MfaMethod::RecoveryCode,
        }
    }
}

/// Opens the session that waits for this token with a code that somebody typed. The code is used up
/// with that session alone.
pub(crate) async fn answer_typed(
    state: &AppState,
    token: &SecretString,
    address: ClientAddress,
    answer: (Typed, &SecretString),
) -> Result<Tokens, CredentialError> {
    let token = OpaqueToken::parse(TokenKind::Challenge, token);
    let token = token.ok_or(CredentialError::ChallengeOver)?;
    let token_hash = token.hash();
    let waiting = holder_of(state, &token_hash).await?;
    let email_key = waiting.email_key();
    let attempt = state
        .throttle
        .attempt_at(Door::SecondFactor, &email_key, address.group());
    refuse_if_throttled(state, &attempt, &email_key).await?;

    let mut tx = state.db.begin().await?;
    let account = lock(state, &mut tx, waiting.id, &token_hash).await?;
    // Guesses that waited for the lock must not all pass before the first failure is counted.
    refuse_if_throttled_in(state, &mut tx, &attempt, &email_key).await?;
    if !is_right(state, &mut tx, &account, answer).await? {
        factors::count_failure(&mut tx, &token_hash).await?;
        failed_logins::count_in(state, &mut tx, &attempt, account.id).await?;
        tx.commit().await?;
        return Err(CredentialError::WrongFactor);
    }
    factors::delete_challenge(&mut tx, &token_hash).await?;
    let tokens = welcome(state, tx, &attempt, account).await?;
    state.throttle.succeeded(&attempt).await;
    let login = state.throttle.attempt(&email_key, address);
    state.throttle.succeeded(&login).await;
    Ok(tokens)
}

/// Whose login waits for this token.
async fn holder_of(state: &AppState, token_hash: &str) -> Result<Account, CredentialError> {
    let mut tx = state.db.read().await?;
    let now = state.clock.now();
    let waiting = factors::find_challenge(&mut tx, token_hash, now).await?;
    let waiting = waiting.ok_or(CredentialError::ChallengeOver)?;
    let account = accounts::find_account(&mut tx, waiting.user_id).await?;
    account.ok_or(CredentialError::ChallengeOver)
}

/// The account whose login still waits for this token. Both are locked, so that guesses made at once
/// are counted one by one; the account first, as whoever ends all its challenges locks it.
async fn lock(
    state: &AppState,
    tx: &mut Tx,
    id: UserId,
    token_hash: &str,
) -> Result<Account, CredentialError> {
    let account = accounts::find_account_locked(tx, id).await?;
    let waiting = factors::find_challenge_locked(tx, token_hash, state.clock.now()).await?;
    let waits = waiting.is_some_and(|waiting| waiting.failures < MAX_FAILURES);
    account
        .filter(|account| waits && !account.disabled)
        .ok_or(CredentialError::ChallengeOver)
}

/// Uses the code, if it is one of a method that the account has in force and so was offered.
async fn is_right(
    state: &AppState,
    tx: &mut Tx,
    account: &Account,
    (typed, code): (Typed, &SecretString),
) -> Result<bool, CredentialError> {
    if !methods_of(tx, account.id).await?.contains(&typed.method()) {
        return Ok(false);
    }
    match typed {
        Typed::Totp => totp::take_code(state, tx, account, code).await,
        Typed::RecoveryCode => recovery::take_code(state, tx, account, code).await,
    }
}
