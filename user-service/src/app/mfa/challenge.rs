//! A login that waits for its second factor, and the answer to it.

use std::time::Duration;

use common::ids::UserId;
use common::time::Timestamp;
use secrecy::SecretString;
use store::{StoreError, Tx};

use super::{MfaMethod, recovery, totp};
use crate::app::log_in::{Tokens, refuse_if_throttled, welcome};
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

/// Opens the session that waits for this token with a code that somebody typed.
pub(crate) async fn answer_typed(
    state: &AppState,
    token: &SecretString,
    address: ClientAddress,
    (typed, code): (Typed, &SecretString),
) -> Result<Tokens, CredentialError> {
    let is_right = async |tx: &mut Tx, account: &Account| match typed {
        Typed::Totp => totp::take_code(state, tx, account, code).await,
        Typed::RecoveryCode => recovery::take_code(state, tx, account, code).await,
    };
    answer(state, token, address, is_right).await
}

/// Opens the session that waits for this token, if `is_right` says so of the account's second factor
/// in the transaction that it is given. What `is_right` uses up is used up with that session alone.
async fn answer(
    state: &AppState,
    token: &SecretString,
    address: ClientAddress,
    is_right: impl AsyncFnOnce(&mut Tx, &Account) -> Result<bool, CredentialError>,
) -> Result<Tokens, CredentialError> {
    let token = OpaqueToken::parse(TokenKind::Challenge, token);
    let token = token.ok_or(CredentialError::ChallengeOver)?;
    let token_hash = token.hash();
    let email_key = email_key_of(state, &token_hash).await?;
    let attempt = state
        .throttle
        .attempt_at(Door::SecondFactor, &email_key, address.group());
    refuse_if_throttled(state, &attempt, &email_key).await?;

    let mut tx = state.db.begin().await?;
    let now = state.clock.now();
    // Locked, so that guesses made at once are counted one by one.
    let waiting = factors::find_challenge_locked(&mut tx, &token_hash, now).await?;
    let waiting = waiting.filter(|waiting| waiting.failures < MAX_FAILURES);
    let waiting = waiting.ok_or(CredentialError::ChallengeOver)?;
    let account = accounts::find_account_locked(&mut tx, waiting.user_id).await?;
    let account = account
        .filter(|account| !account.disabled)
        .ok_or(CredentialError::ChallengeOver)?;
    if !is_right(&mut tx, &account).await? {
        factors::count_failure(&mut tx, &token_hash).await?;
        tx.commit().await?;
        state.throttle.failed(&attempt).await;
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
async fn email_key_of(state: &AppState, token_hash: &str) -> Result<String, CredentialError> {
    let mut tx = state.db.read().await?;
    let now = state.clock.now();
    let waiting = factors::find_challenge(&mut tx, token_hash, now).await?;
    let waiting = waiting.ok_or(CredentialError::ChallengeOver)?;
    let account = accounts::find_account(&mut tx, waiting.user_id).await?;
    let account = account.ok_or(CredentialError::ChallengeOver)?;
    Ok(account.email_key())
}
