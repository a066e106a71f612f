//! Removes a person's data and keeps the account's id, under which records that the law wants kept
//! (who worked when, who sold what) stay readable without saying who it was.

use std::collections::BTreeSet;

use common::auth::Principal;
use common::ids::UserId;
use contracts::events::UserErased;
use store::Tx;

use crate::app::whoami::caller;
use crate::audit;
use crate::domain::account::{Account, AccountChange};
use crate::error::{AccountError, CredentialError};
use crate::state::AppState;
use crate::store::{accounts, personal, profiles, revocations};

const ERASED_NAME: &str = "Erased";

/// Removes what is known of the person and ends every session, for good. Repeating it changes
/// nothing.
pub(crate) async fn erase(
    state: &AppState,
    principal: &Principal,
    id: UserId,
) -> Result<(), CredentialError> {
    let mut tx = state.db.begin().await?;
    // In the order of everybody who changes owners.
    accounts::lock_owners(&mut tx).await?;
    let owner = caller(state, &mut tx, principal).await?;
    let account = accounts::find_account_locked(&mut tx, id).await?;
    let account = account.ok_or(AccountError::Unknown)?;
    let profile = profiles::find_profile(&mut tx, id).await?;
    if profile.is_some_and(|profile| profile.erased_at.is_some()) {
        return Ok(tx.commit().await?);
    }
    remove(state, &mut tx, &account).await?;
    if account.is_active_owner() && accounts::count_active_owners(&mut tx).await? == 0 {
        return Err(AccountError::LastOwner.into());
    }
    let event = UserErased {
        user_id: id,
        erased_at: state.clock.now(),
    };
    state.outbox.append(&mut tx, id, &event).await?;
    let entry = audit::on_account(principal, "account.erased", &account);
    let entry = entry.before(audit::account_state(&account));
    audit::record(state, &mut tx, entry).await?;
    tx.commit().await?;
    tracing::info!(user.id = %id, by.id = %owner.id, "erased a person's data");
    Ok(())
}

async fn remove(state: &AppState, tx: &mut Tx, account: &Account) -> Result<(), CredentialError> {
    let now = state.clock.now();
    let empty = AccountChange {
        display_name: Some(ERASED_NAME.to_owned()),
        roles: Some(BTreeSet::new()),
        stores: Some(BTreeSet::new()),
        disabled: Some(true),
    };
    let erased = account.changed(empty, now);
    if !accounts::update_account(tx, &erased).await? {
        return Err(AccountError::Changed.into());
    }
    // Sessions are removed below; this refuses the tokens that are still out, everywhere.
    revocations::refuse_older_tokens(tx, account.id, erased.version, now).await?;
    state.revocations.follows(tx);
    let email = format!("erased-{}@erased.invalid", account.id);
    let unknown_password = state.hasher.unmatched();
    personal::erase(tx, account.id, (&email, unknown_password), now).await?;
    let known_as = (&*account.email_key(), &*account.display_name);
    personal::erase_traces(tx, account.id, known_as).await?;
    Ok(())
}
