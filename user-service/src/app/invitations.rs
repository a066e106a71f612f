//! Invitations: giving, repeating, taking back and accepting them.

mod accept;
mod send;

use common::auth::Principal;
use store::Tx;

pub(crate) use accept::{Acceptance, accept};
pub(crate) use send::{NewInvitation, invite, resend};

use super::whoami::caller;
use crate::audit::{self, Entry};
use crate::domain::account::Account;
use crate::domain::authority::Authority;
use crate::domain::invitation::{Invitation, InvitationId};
use crate::error::CredentialError;
use crate::state::AppState;
use crate::store::invitations;

/// Rows read together; few invitations are open at once.
const PAGE: i64 = 200;

/// Open invitations in the order of their making, at most `limit`: those that the caller could give.
pub(crate) async fn list(
    state: &AppState,
    principal: &Principal,
    mut after: Option<InvitationId>,
    limit: usize,
) -> Result<Vec<Invitation>, CredentialError> {
    let mut tx = state.db.read().await?;
    let reader = caller(state, &mut tx, principal).await?;
    let mut visible = Vec::new();
    loop {
        let rows = invitations::list_invitations(&mut tx, after, PAGE).await?;
        let Some(last) = rows.last() else {
            return Ok(visible);
        };
        after = Some(last.id);
        visible.extend(rows.into_iter().filter(|row| may_give(&reader, row)));
        if visible.len() >= limit {
            visible.truncate(limit);
            return Ok(visible);
        }
    }
}

/// Whether an invitation could be this account's own: whoever runs a store minds the invitations to
/// it, not only who happened to give them.
fn may_give(account: &Account, invitation: &Invitation) -> bool {
    let authority = Authority::of(account);
    authority
        .require_below(invitation.role, &invitation.stores)
        .is_ok()
}

/// Takes an invitation back: its link is worthless from here on.
pub(crate) async fn take_back(
    state: &AppState,
    principal: &Principal,
    id: InvitationId,
) -> Result<(), CredentialError> {
    let mut tx = state.db.begin().await?;
    let caller = caller(state, &mut tx, principal).await?;
    let invitation = own_locked(&mut tx, &caller, id).await?;
    invitations::delete_invitation(&mut tx, invitation.id).await?;
    let entry = Entry::new(principal, "invitation.taken_back").on("invitation", id);
    audit::record(state, &mut tx, entry).await?;
    tx.commit().await?;
    tracing::info!(invitation.id = %id, by.id = %caller.id, "took an invitation back");
    Ok(())
}

/// An invitation that the caller could have given.
async fn own_locked(
    tx: &mut Tx,
    caller: &Account,
    id: InvitationId,
) -> Result<Invitation, CredentialError> {
    let found = invitations::find_invitation_locked(tx, id).await?;
    found
        .filter(|invitation| may_give(caller, invitation))
        .ok_or(CredentialError::Unknown("invitation"))
}
