//! Sessions as people see them: their own, and those of accounts that they look after.

use common::auth::Principal;
use common::context::RequestContext;
use common::ids::UserId;
use serde_json::json;
use store::{StoreError, Tx};

use super::accounts::visible;
use super::log_out::session_of;
use super::whoami::caller;
use crate::audit::{self, Entry};
use crate::client_address::ClientAddress;
use crate::domain::account::Account;
use crate::domain::authority::looks_after;
use crate::domain::device_label::device_label;
use crate::domain::session::{RevokeReason, SessionId};
use crate::error::AccountError;
use crate::state::AppState;
use crate::store::session_list::{self, ListedSession};
use crate::store::sessions::Origin;
use crate::store::{accounts, sessions};

/// Where a session is opened: what the request that opens it tells.
pub(crate) fn origin(state: &AppState) -> Origin {
    let device =
        RequestContext::current().and_then(|context| device_label(&context.origin.user_agent));
    let address = ClientAddress::current(&state.trusted_proxies);
    Origin {
        device,
        address: address.map(|address| address.to_string()),
    }
}

/// The caller's sessions in force, last used first, and which of them asks.
pub(crate) async fn list_own(
    state: &AppState,
    principal: &Principal,
) -> Result<(Vec<ListedSession>, Option<SessionId>), AccountError> {
    let mut tx = state.db.read().await?;
    let account = caller(state, &mut tx, principal).await?;
    let listed = in_force(state, &mut tx, account.id).await?;
    Ok((listed, session_of(principal)))
}

/// The sessions in force of an account that the caller may know of.
pub(crate) async fn list_of(
    state: &AppState,
    principal: &Principal,
    id: UserId,
) -> Result<Vec<ListedSession>, AccountError> {
    let mut tx = state.db.read().await?;
    let reader = caller(state, &mut tx, principal).await?;
    let found = accounts::find_account(&mut tx, id).await?;
    let account = visible(&reader, found)?;
    require_rank(&reader, &account)?;
    Ok(in_force(state, &mut tx, account.id).await?)
}

/// Ends one of the caller's own sessions. One that is not the caller's, or never was, is as good as
/// ended.
pub(crate) async fn end_one(
    state: &AppState,
    principal: &Principal,
    session: SessionId,
) -> Result<(), AccountError> {
    let mut tx = state.db.begin().await?;
    let account = caller(state, &mut tx, principal).await?;
    if session_list::owner(&mut tx, session).await? != Some(account.id) {
        return Ok(tx.commit().await?);
    }
    let now = state.clock.now();
    sessions::revoke_session(&mut tx, session, RevokeReason::Ended, now).await?;
    let entry = Entry::new(principal, "session.ended").on("session", session);
    audit::record(state, &mut tx, entry).await?;
    state.revocations.follows(&mut tx);
    Ok(tx.commit().await?)
}

/// Ends all of the caller's own sessions but the one that asks.
pub(crate) async fn end_others(
    state: &AppState,
    principal: &Principal,
) -> Result<(), AccountError> {
    let mut tx = state.db.begin().await?;
    let account = caller(state, &mut tx, principal).await?;
    end_all(state, &mut tx, principal, account.id, session_of(principal)).await?;
    Ok(tx.commit().await?)
}

/// Ends every session of an account that the caller looks after.
pub(crate) async fn end_all_of(
    state: &AppState,
    principal: &Principal,
    id: UserId,
) -> Result<(), AccountError> {
    let mut tx = state.db.begin().await?;
    let reader = caller(state, &mut tx, principal).await?;
    let found = accounts::find_account_locked(&mut tx, id).await?;
    let account = visible(&reader, found)?;
    require_rank(&reader, &account)?;
    end_all(state, &mut tx, principal, account.id, None).await?;
    Ok(tx.commit().await?)
}

async fn end_all(
    state: &AppState,
    tx: &mut Tx,
    by: &Principal,
    account: UserId,
    kept: Option<SessionId>,
) -> Result<(), StoreError> {
    let now = state.clock.now();
    let ended = session_list::revoke_all_but(tx, account, kept, now).await?;
    if ended == 0 {
        return Ok(());
    }
    let entry = Entry::new(by, "sessions.ended").on("account", account);
    audit::record(state, tx, entry.after(json!({"ended": ended}))).await?;
    state.revocations.follows(tx);
    Ok(())
}

async fn in_force(
    state: &AppState,
    tx: &mut Tx,
    account: UserId,
) -> Result<Vec<ListedSession>, StoreError> {
    let now = state.clock.now();
    let idle = now.minus(state.session_limits.idle);
    session_list::list_in_force(tx, account, now, idle).await
}

fn require_rank(reader: &Account, account: &Account) -> Result<(), AccountError> {
    if reader.id == account.id || looks_after(&reader.roles, &account.roles) {
        Ok(())
    } else {
        Err(AccountError::Outranked)
    }
}
