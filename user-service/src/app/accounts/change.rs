//! Changes an account.

use std::collections::BTreeSet;

use common::auth::{Principal, Role};
use common::ids::UserId;
use store::Tx;

use super::read::visible;
use crate::app::whoami::caller;
use crate::audit;
use crate::domain::account::{Account, AccountChange};
use crate::domain::authority::Authority;
use crate::domain::link::LinkPurpose;
use crate::domain::session::RevokeReason;
use crate::error::AccountError;
use crate::state::AppState;
use crate::store::{accounts, link_tokens, profiles, revocations, sessions};

/// Changes the account, if it still has the version that the change was made from.
pub(crate) async fn change(
    state: &AppState,
    principal: &Principal,
    id: UserId,
    from_version: i64,
    change: AccountChange,
) -> Result<Account, AccountError> {
    let mut tx = state.db.begin().await?;
    // Owners before anything else: one order for everybody, so that no two wait for each other, and
    // whoever is no longer an owner once the turn comes is noticed.
    accounts::lock_owners(&mut tx).await?;
    let giver = caller(state, &mut tx, principal).await?;
    let old = accounts::find_account_locked(&mut tx, id).await?;
    let old = visible(&giver, old)?;
    let profile = profiles::find_profile(&mut tx, id).await?;
    if profile.is_some_and(|profile| profile.erased_at.is_some()) {
        return Err(AccountError::Erased);
    }
    if old.version != from_version {
        return Err(AccountError::Changed);
    }
    let now = state.clock.now();
    let new = old.changed(change, now);
    require_authority(&giver, &old, &new)?;
    if !accounts::update_account(&mut tx, &new).await? {
        return Err(AccountError::Changed);
    }
    if old.is_active_owner() && !new.is_active_owner() {
        require_another_owner(&mut tx).await?;
    }
    if new.disabled && !old.disabled {
        sessions::revoke_sessions_of(&mut tx, id, RevokeReason::Disabled, now).await?;
        // Nor does what was asked in one of them wait for the account to be enabled again.
        link_tokens::delete_links(&mut tx, id, LinkPurpose::VerifyEmail).await?;
    }
    if new.grants_differ(&old) {
        revocations::refuse_older_tokens(&mut tx, id, new.version, now).await?;
        state.revocations.follows(&mut tx);
    }
    let entry = audit::on_account(principal, "account.changed", &new);
    let entry = entry.before(audit::account_state(&old));
    audit::record(state, &mut tx, entry.after(audit::account_state(&new))).await?;
    tx.commit().await?;
    tracing::info!(user.id = %id, by.id = %giver.id, "changed an account");
    Ok(new)
}

/// What is given or taken must be the giver's own, and so must whatever the account keeps: else a
/// manager could disable an owner.
fn require_authority(giver: &Account, old: &Account, new: &Account) -> Result<(), AccountError> {
    let roles: BTreeSet<Role> = old.roles.union(&new.roles).copied().collect();
    let stores = old.stores.symmetric_difference(&new.stores).copied();
    Authority::of(giver).require(&roles, &stores.collect())?;
    Ok(())
}

async fn require_another_owner(tx: &mut Tx) -> Result<(), AccountError> {
    match accounts::count_active_owners(tx).await? {
        0 => Err(AccountError::LastOwner),
        _ => Ok(()),
    }
}
