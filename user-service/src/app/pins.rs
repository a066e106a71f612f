//! PINs: choosing one's own, and taking a turn at a terminal of one's store with it.
//!
//! The terminal is what somebody has and the PIN what they know; neither is worth anything without
//! the other. Whoever fails learns nothing: an unknown account, one of another store, one without a
//! PIN and a wrong PIN are answered alike, after a hash of the same cost.

use common::auth::Principal;
use common::ids::UserId;
use secrecy::SecretString;
use store::Tx;

use super::log_in::{Place, Tokens, open_session};
use super::reauth::{Reauth, confirm_password};
use super::whoami::caller;
use crate::audit;
use crate::domain::account::Account;
use crate::domain::device::PosDevice;
use crate::error::{CredentialError, SessionError};
use crate::state::AppState;
use crate::store::accounts;
use crate::store::pos_devices::{self, PinHolder};
use crate::throttle::{Attempt, Door};

/// Gives the caller this PIN, which was judged before.
pub(crate) async fn choose(
    state: &AppState,
    principal: &Principal,
    reauth: Reauth,
    pin: &SecretString,
) -> Result<(), CredentialError> {
    let mut tx = state.db.read().await?;
    let account = caller(state, &mut tx, principal).await?;
    drop(tx);
    let turn = confirm_password(state, &account, reauth).await?;
    let prepared = state.factors.prepare_pin(account.id, pin);
    let (_turn, hash) = turn.hash(prepared).await?;
    let mut tx = state.db.begin().await?;
    let account = caller(state, &mut tx, principal).await?;
    pos_devices::set_pin(&mut tx, account.id, &hash, state.clock.now()).await?;
    let entry = audit::on_account(principal, "pin.chosen", &account);
    audit::record(state, &mut tx, entry).await?;
    tx.commit().await?;
    tracing::info!(user.id = %account.id, "chose a PIN");
    Ok(())
}

/// Takes the caller's PIN away. Repeating it changes nothing.
pub(crate) async fn give_up(
    state: &AppState,
    principal: &Principal,
) -> Result<(), CredentialError> {
    let mut tx = state.db.begin().await?;
    let account = caller(state, &mut tx, principal).await?;
    if pos_devices::delete_pin(&mut tx, account.id).await? {
        let entry = audit::on_account(principal, "pin.given_up", &account);
        audit::record(state, &mut tx, entry).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Who may take a turn at a terminal, in the order of their accounts; at most `limit`.
pub(crate) async fn people(
    state: &AppState,
    device: &PosDevice,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<PinHolder>, CredentialError> {
    let mut tx = state.db.read().await?;
    let store = device.store_id;
    Ok(pos_devices::list_pin_holders(&mut tx, store, after, limit.into()).await?)
}

/// Opens a short session of an account at a terminal, which holds in the terminal's store alone.
pub(crate) async fn take_turn(
    state: &AppState,
    device: &PosDevice,
    user: UserId,
    pin: &SecretString,
) -> Result<Tokens, CredentialError> {
    let place = device.id.to_string();
    let attempt = state
        .throttle
        .attempt_at(Door::Pin, &user.to_string(), place);
    refuse_if_delayed(state, &attempt).await?;
    let turn = state.hasher.turn().await?;
    // Tries that waited in line together must not all pass before the first failure is counted.
    refuse_if_delayed(state, &attempt).await?;

    let mut tx = state.db.read().await?;
    let stored = match worker_at(&mut tx, device, user).await? {
        Some(_worker) => pos_devices::find_pin_hash(&mut tx, user).await?,
        None => None,
    };
    drop(tx);
    let prepared = state.factors.prepare_pin(user, pin);
    let (turn, verification) = turn.verify(prepared, stored.clone()).await?;
    drop(turn);
    if !verification.matches {
        state.throttle.failed(&attempt).await;
        return Err(CredentialError::BadPin);
    }
    let tokens = admit(state, device, user, stored).await?;
    state.throttle.succeeded(&attempt).await;
    Ok(tokens)
}

/// All delays hold here: who stands at a terminal of the store has no other address to come from.
async fn refuse_if_delayed(state: &AppState, attempt: &Attempt) -> Result<(), CredentialError> {
    let waits = state.throttle.waits(attempt).await;
    match waits.always.max(waits.at_unknown_address) {
        Some(wait) => Err(SessionError::Throttled(wait).into()),
        None => Ok(()),
    }
}

/// The account, if it may work in the terminal's store now.
async fn worker_at(
    tx: &mut Tx,
    device: &PosDevice,
    user: UserId,
) -> Result<Option<Account>, CredentialError> {
    let account = accounts::find_account(tx, user).await?;
    let works_here =
        |account: &Account| !account.disabled && account.scope().contains(device.store_id);
    Ok(account.filter(works_here))
}

async fn admit(
    state: &AppState,
    device: &PosDevice,
    user: UserId,
    verified: Option<String>,
) -> Result<Tokens, CredentialError> {
    let mut tx = state.db.begin().await?;
    // Locked, so that an account which is being disabled, and a terminal which is being revoked, do
    // not get a session that outlives it.
    let locked = accounts::find_account_locked(&mut tx, user).await?;
    let known = pos_devices::find_device_locked(&mut tx, device.id).await?;
    if known.is_none_or(|known| known.revoked_at.is_some()) {
        return Err(CredentialError::UnknownDevice);
    }
    let worker = worker_at(&mut tx, device, user).await?;
    let same_pin = pos_devices::find_pin_hash(&mut tx, user).await? == verified;
    let account = worker.filter(|_| locked.is_some() && same_pin);
    let account = account.ok_or(CredentialError::BadPin)?;
    pos_devices::touch_device(&mut tx, device.id, state.clock.now()).await?;
    let tokens = open_session(state, &mut tx, account, Place::Terminal(device)).await?;
    tx.commit().await?;
    Ok(tokens)
}
