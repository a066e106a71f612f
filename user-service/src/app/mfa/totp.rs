//! Generators of one-time codes: adding one, confirming it, using its codes, removing it.

use std::time::Duration;

use common::auth::Principal;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use store::{StoreError, Tx};

use super::{recovery, tell};
use crate::app::log_in::{refuse_if_throttled, refuse_if_throttled_in};
use crate::app::reauth::{Reauth, confirm_password};
use crate::app::whoami::{caller, caller_off_terminal};
use crate::audit;
use crate::domain::account::Account;
use crate::domain::totp;
use crate::error::{CredentialError, SessionError};
use crate::keys::random;
use crate::state::AppState;
use crate::store::factors::TotpRow;
use crate::store::{accounts, factors};
use crate::throttle::Door;

/// How long a generator waits for the code that confirms it.
pub(crate) const CONFIRM_WITHIN: Duration = Duration::from_secs(3_600);

/// A new generator's secret, in the forms that apps take.
pub(crate) struct Enrolment {
    pub(crate) secret: SecretString,
    pub(crate) otpauth_uri: SecretString,
}

/// Makes a generator that is not in force until a code confirms it; another such one is forgotten.
pub(crate) async fn enrol(
    state: &AppState,
    principal: &Principal,
    reauth: Reauth,
) -> Result<Enrolment, CredentialError> {
    let mut tx = state.db.read().await?;
    let account = caller_off_terminal(state, &mut tx, principal).await?;
    drop(tx);
    drop(confirm_password(state, &account, reauth).await?);
    let secret: SecretSlice<u8> = random::<{ totp::SECRET_BYTES }>().to_vec().into();
    let sealed = state.factors.seal(account.id, &secret);
    let mut tx = state.db.begin().await?;
    let account = caller(state, &mut tx, principal).await?;
    if !factors::insert_totp(&mut tx, account.id, &sealed, state.clock.now()).await? {
        return Err(CredentialError::TotpInForce);
    }
    tx.commit().await?;
    let secret = secret.expose_secret();
    Ok(Enrolment {
        secret: totp::to_base32(secret).into(),
        otpauth_uri: totp::otpauth_uri(secret, &account.email).into(),
    })
}

/// Puts the generator in force with a first code and gives the recovery codes, this once.
pub(crate) async fn confirm(
    state: &AppState,
    principal: &Principal,
    code: &SecretString,
) -> Result<Vec<SecretString>, CredentialError> {
    let mut tx = state.db.begin().await?;
    let id = caller_off_terminal(state, &mut tx, principal).await?.id;
    let account = accounts::find_account_locked(&mut tx, id).await?;
    let account = account.ok_or(CredentialError::NoTotp)?;
    let row = factors::find_totp(&mut tx, id).await?;
    let row = row.ok_or(CredentialError::NoTotp)?;
    if row.confirmed_at.is_some() {
        return Err(CredentialError::TotpInForce);
    }
    if state.clock.now().since(row.created_at) >= CONFIRM_WITHIN {
        return Err(CredentialError::NoTotp);
    }
    if !use_code(state, &mut tx, &account, &row, code).await? {
        return Err(CredentialError::WrongCode);
    }
    factors::confirm_totp(&mut tx, id, state.clock.now()).await?;
    let codes = recovery::renew(state, &mut tx, id).await?;
    tell(state, &mut tx, &account, "totp_added").await?;
    let entry = audit::on_account(principal, "totp.added", &account);
    audit::record(state, &mut tx, entry).await?;
    tx.commit().await?;
    tracing::info!(user.id = %id, "put a generator of codes in force");
    Ok(codes)
}

/// Removes the generator and the recovery codes, with the password and a code that is good now.
pub(crate) async fn disable(
    state: &AppState,
    principal: &Principal,
    reauth: Reauth,
    code: &SecretString,
) -> Result<(), CredentialError> {
    let (mut tx, account) = confirmed(state, principal, reauth, code).await?;
    factors::delete_totp(&mut tx, account.id).await?;
    factors::delete_challenges_of(&mut tx, account.id).await?;
    tell(state, &mut tx, &account, "totp_removed").await?;
    let entry = audit::on_account(principal, "totp.removed", &account);
    audit::record(state, &mut tx, entry).await?;
    tx.commit().await?;
    tracing::info!(user.id = %account.id, "removed the generator of codes");
    Ok(())
}

/// Gives new recovery codes in the place of the old ones, with the password and a code.
pub(crate) async fn renew_recovery_codes(
    state: &AppState,
    principal: &Principal,
    reauth: Reauth,
    code: &SecretString,
) -> Result<Vec<SecretString>, CredentialError> {
    let (mut tx, account) = confirmed(state, principal, reauth, code).await?;
    let codes = recovery::renew(state, &mut tx, account.id).await?;
    tell(state, &mut tx, &account, "recovery_codes_renewed").await?;
    let entry = audit::on_account(principal, "recovery_codes.renewed", &account);
    audit::record(state, &mut tx, entry).await?;
    tx.commit().await?;
    Ok(codes)
}

/// A transaction in which the caller proved both factors.
async fn confirmed(
    state: &AppState,
    principal: &Principal,
    reauth: Reauth,
    code: &SecretString,
) -> Result<(Tx, Account), CredentialError> {
    let (mut tx, account) = proved(state, principal, reauth, Some(code)).await?;
    if in_force(&mut tx, &account).await?.is_none() {
        return Err(CredentialError::NoTotp);
    }
    Ok((tx, account))
}

/// A transaction in which the caller, whose account is locked, proved the password and, where a
/// generator is in force, showed a code of it.
pub(crate) async fn proved(
    state: &AppState,
    principal: &Principal,
    reauth: Reauth,
    code: Option<&SecretString>,
) -> Result<(Tx, Account), CredentialError> {
    let mut tx = state.db.read().await?;
    let account = caller_off_terminal(state, &mut tx, principal).await?;
    drop(tx);
    let email_key = account.email_key();
    let door = Door::SecondFactor;
    let attempt = state
        .throttle
        .attempt_at(door, &email_key, reauth.address.group());
    refuse_if_throttled(state, &attempt, &email_key).await?;
    drop(confirm_password(state, &account, reauth).await?);
    let mut tx = state.db.begin().await?;
    let account = accounts::find_account_locked(&mut tx, account.id).await?;
    let account = account.ok_or(SessionError::SessionEnded)?;
    let _in_force = caller(state, &mut tx, principal).await?;
    if in_force(&mut tx, &account).await?.is_none() {
        return Ok((tx, account));
    }
    let code = code.ok_or(CredentialError::WrongCode)?;
    // Guesses that waited for the lock must not all pass before the first failure is counted.
    refuse_if_throttled_in(state, &mut tx, &attempt, &email_key).await?;
    if !take_code(state, &mut tx, &account, code).await? {
        state.throttle.failed(&attempt).await;
        return Err(CredentialError::WrongCode);
    }
    Ok((tx, account))
}

/// The generator that a code confirmed.
async fn in_force(tx: &mut Tx, account: &Account) -> Result<Option<TotpRow>, StoreError> {
    let row = factors::find_totp(tx, account.id).await?;
    Ok(row.filter(|row| row.confirmed_at.is_some()))
}

/// Uses a code of the generator that the account has in force: whether it is good now and was never
/// used. One that nobody confirmed may be anybody's who knew the password, and proves nothing more.
pub(crate) async fn take_code(
    state: &AppState,
    tx: &mut Tx,
    account: &Account,
    code: &SecretString,
) -> Result<bool, CredentialError> {
    match in_force(tx, account).await? {
        Some(row) => use_code(state, tx, account, &row, code).await,
        None => Ok(false),
    }
}

/// The same of this generator, in force or not.
async fn use_code(
    state: &AppState,
    tx: &mut Tx,
    account: &Account,
    row: &TotpRow,
    code: &SecretString,
) -> Result<bool, CredentialError> {
    let secret = state.factors.open(account.id, &row.sealed_secret)?;
    let (secret, code) = (secret.expose_secret(), code.expose_secret().trim());
    match totp::matching_step(secret, code, state.clock.now(), row.last_step) {
        Some(step) => Ok(factors::use_step(tx, account.id, step).await?),
        None => Ok(false),
    }
}
