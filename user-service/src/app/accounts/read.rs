//! Reads accounts: an owner all, others their own and those that share a store with it.

use common::auth::{Principal, StoreScope};
use common::ids::{StoreId, UserId};
use store::Tx;

use crate::app::whoami::caller;
use crate::domain::account::Account;
use crate::error::AccountError;
use crate::state::AppState;
use crate::store::accounts::{self, AccountFilter};

/// One account.
pub(crate) async fn read(
    state: &AppState,
    principal: &Principal,
    id: UserId,
) -> Result<Account, AccountError> {
    let mut tx = state.db.read().await?;
    let reader = caller(state, &mut tx, principal).await?;
    let found = accounts::find_account(&mut tx, id).await?;
    visible(&mut tx, &reader, found).await
}

/// One account, for a service that acts for nobody.
pub(crate) async fn read_for_service(
    state: &AppState,
    id: UserId,
) -> Result<Account, AccountError> {
    let mut tx = state.db.read().await?;
    let found = accounts::find_account(&mut tx, id).await?;
    found.ok_or(AccountError::Unknown)
}

/// Accounts in the order of their creation, all or those of one store; at most `limit`.
pub(crate) async fn list(
    state: &AppState,
    principal: &Principal,
    store: Option<StoreId>,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<Account>, AccountError> {
    let mut tx = state.db.read().await?;
    let reader = caller(state, &mut tx, principal).await?;
    let scope = reader.scope();
    if store.is_some_and(|store| !scope.contains(store)) {
        return Err(AccountError::ForeignStore);
    }
    let filter = AccountFilter {
        store,
        colleagues_of: (scope != StoreScope::All).then_some(reader.id),
    };
    Ok(accounts::list_accounts(&mut tx, filter, after, limit.into()).await?)
}

/// The account if the reader may know of it.
pub(crate) async fn visible(
    tx: &mut Tx,
    reader: &Account,
    found: Option<Account>,
) -> Result<Account, AccountError> {
    let account = found.ok_or(AccountError::Unknown)?;
    let everywhere = reader.scope() == StoreScope::All;
    if everywhere
        || account.id == reader.id
        || accounts::share_a_store(tx, reader.id, account.id).await?
    {
        Ok(account)
    } else {
        Err(AccountError::Unknown)
    }
}
