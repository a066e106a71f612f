//! Reads accounts: an owner all, others their own and those of the stores in which they act.

use common::auth::{Principal, StoreScope};
use common::ids::{StoreId, UserId};

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
    visible(&reader, found)
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
    let filter = match (store, scope) {
        (Some(store), _) => AccountFilter::In(vec![store], None),
        (None, StoreScope::All) => AccountFilter::All,
        (None, StoreScope::Only(stores)) => AccountFilter::In(stores, Some(reader.id)),
    };
    Ok(accounts::list_accounts(&mut tx, &filter, after, limit.into()).await?)
}

/// The account if the reader may know of it: in the stores in which the reader acts now, which at a
/// terminal are not all of its own.
pub(crate) fn visible(reader: &Account, found: Option<Account>) -> Result<Account, AccountError> {
    let account = found.ok_or(AccountError::Unknown)?;
    let scope = reader.scope();
    let mut stores = account.stores.iter();
    if scope == StoreScope::All
        || account.id == reader.id
        || stores.any(|store| scope.contains(*store))
    {
        Ok(account)
    } else {
        Err(AccountError::Unknown)
    }
}
