//! Gives an invitation, and mails it again.

use std::collections::BTreeSet;
use std::time::Duration;

use common::auth::{Principal, Role};
use common::ids::StoreId;
use common::time::Timestamp;
use contracts::events::MailTemplate;
use serde_json::json;
use store::{StoreError, Tx};

use super::own_locked;
use crate::app::mail::{self, Mail};
use crate::app::whoami::caller;
use crate::audit::{self, Entry};
use crate::domain::account::Account;
use crate::domain::authority::Authority;
use crate::domain::email::Email;
use crate::domain::invitation::{Invitation, InvitationId};
use crate::error::{AccountError, CredentialError};
use crate::keys::{OpaqueToken, TokenKind};
use crate::state::AppState;
use crate::store::{accounts, invitations};

/// An invitation to give.
pub(crate) struct NewInvitation {
    pub(crate) email: Email,
    pub(crate) display_name: String,
    pub(crate) role: Role,
    pub(crate) stores: BTreeSet<StoreId>,
    pub(crate) locale: Option<String>,
}

/// Gives an invitation to an account below the caller's own and mails its link.
pub(crate) async fn invite(
    state: &AppState,
    principal: &Principal,
    new: NewInvitation,
) -> Result<Invitation, CredentialError> {
    let mut tx = state.db.begin().await?;
    let giver = caller(state, &mut tx, principal).await?;
    Authority::of(&giver).require_below(new.role, &new.stores)?;
    let email_key = new.email.key();
    if accounts::find_credentials(&mut tx, &email_key)
        .await?
        .is_some()
    {
        return Err(AccountError::EmailTaken.into());
    }
    let now = state.clock.now();
    let invitation = Invitation {
        id: InvitationId::new(&state.clock),
        email: new.email.as_str().to_owned(),
        display_name: new.display_name,
        role: new.role,
        stores: new.stores,
        locale: new
            .locale
            .unwrap_or_else(|| mail::DEFAULT_LOCALE.to_owned()),
        invited_by: giver.id,
        created_at: now,
        sent_at: now,
        expires_at: expiry(state, now),
    };
    let token = OpaqueToken::new(TokenKind::Link);
    let stored =
        invitations::insert_invitation(&mut tx, &invitation, &email_key, &token.hash()).await?;
    if !stored {
        return Err(CredentialError::AlreadyInvited);
    }
    send(state, &mut tx, &invitation, (&giver, &token)).await?;
    let entry = Entry::new(principal, "invitation.given").on("invitation", invitation.id);
    let given = json!({"role": invitation.role, "stores": invitation.stores});
    audit::record(state, &mut tx, entry.after(given)).await?;
    tx.commit().await?;
    tracing::info!(invitation.id = %invitation.id, by.id = %giver.id, "invited somebody");
    Ok(invitation)
}

/// Mails an invitation again with a new link and a new life; the link before is worthless.
pub(crate) async fn resend(
    state: &AppState,
    principal: &Principal,
    id: InvitationId,
) -> Result<Invitation, CredentialError> {
    let mut tx = state.db.begin().await?;
    let sender = caller(state, &mut tx, principal).await?;
    let old = own_locked(&mut tx, &sender, id).await?;
    let now = state.clock.now();
    let token = OpaqueToken::new(TokenKind::Link);
    let renewed = Invitation {
        sent_at: now,
        expires_at: expiry(state, now),
        ..old
    };
    let times = (renewed.sent_at, renewed.expires_at);
    invitations::renew_invitation(&mut tx, id, &token.hash(), times).await?;
    send(state, &mut tx, &renewed, (&sender, &token)).await?;
    let entry = Entry::new(principal, "invitation.sent_again").on("invitation", id);
    audit::record(state, &mut tx, entry).await?;
    tx.commit().await?;
    tracing::info!(invitation.id = %id, by.id = %sender.id, "sent an invitation again");
    Ok(renewed)
}

fn expiry(state: &AppState, now: Timestamp) -> Timestamp {
    let hours = u64::from(state.links.invitation_hours);
    now.plus(Duration::from_secs(hours * 3_600))
}

async fn send(
    state: &AppState,
    tx: &mut Tx,
    invitation: &Invitation,
    (sender, token): (&Account, &OpaqueToken),
) -> Result<(), StoreError> {
    let hours = state.links.invitation_hours.to_string();
    let variables = [
        ("link", &*mail::link(state, "invitation", token.expose())),
        ("display_name", &invitation.display_name),
        ("invited_by", &sender.display_name),
        ("hours", &hours),
    ];
    let request = Mail {
        recipient: &invitation.email,
        template: MailTemplate::Invitation,
        locale: Some(&invitation.locale),
        variables: &variables,
        life: invitation.expires_at.since(invitation.sent_at),
    };
    mail::request(state, tx, &request).await
}
