//! Makes the account that somebody was invited to.

use common::ids::UserId;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use store::Tx;

use crate::audit::{self, Actor};
use crate::domain::account::Account;
use crate::domain::authority::Authority;
use crate::domain::email::Email;
use crate::domain::invitation::Invitation;
use crate::domain::password;
use crate::error::{AccountError, CredentialError};
use crate::keys::{OpaqueToken, TokenKind};
use crate::state::AppState;
use crate::store::{accounts, invitations, profiles};

/// The mailed token and the password of the account to be.
pub(crate) struct Acceptance {
    pub(crate) token: SecretString,
    pub(crate) password: SecretString,
}

/// Makes the account, once for each invitation. Its address is proved by that.
pub(crate) async fn accept(
    state: &AppState,
    acceptance: Acceptance,
) -> Result<Account, CredentialError> {
    let Acceptance { token, password } = acceptance;
    let token = OpaqueToken::parse(TokenKind::Link, &token).ok_or(CredentialError::LinkInvalid)?;
    let token_hash = token.hash();
    // Looked at before the costly hash, so that made-up tokens cost nothing.
    let mut tx = state.db.read().await?;
    let found = invitations::find_by_token(&mut tx, &token_hash, state.clock.now()).await?;
    drop(tx);
    let invitation = found.ok_or(CredentialError::LinkInvalid)?;
    let email = Email::parse(&invitation.email).ok_or(CredentialError::LinkInvalid)?;
    password::judge_new(password.expose_secret(), Some(&email))
        .map_err(|fault| CredentialError::Unacceptable("password", fault))?;
    let turn = state.hasher.turn().await?;
    let (_turn, hash) = turn.hash(password).await?;

    let mut tx = state.db.begin().await?;
    // Before anything else, in the order of everybody who changes owners.
    accounts::lock_owners(&mut tx).await?;
    let now = state.clock.now();
    let taken = invitations::take_by_token(&mut tx, &token_hash, now).await?;
    let invitation = taken.ok_or(CredentialError::LinkInvalid)?;
    require_inviter(&mut tx, &invitation).await?;
    let account = Account {
        id: UserId::new(&state.clock),
        email: invitation.email,
        display_name: invitation.display_name,
        roles: [invitation.role].into(),
        stores: invitation.stores,
        disabled: false,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    if !accounts::insert_account(&mut tx, &account, &email.key(), &hash).await? {
        return Err(AccountError::EmailTaken.into());
    }
    profiles::set_locale(&mut tx, account.id, &invitation.locale).await?;
    profiles::set_email_verified(&mut tx, account.id, now).await?;
    // Whoever read the mail; that the inviter let them in stands in the entry of the invitation.
    let entry = audit::on_account(Actor::Unknown, "account.created", &account);
    let made = json!({"invitation": invitation.id, "account": audit::account_state(&account)});
    audit::record(state, &mut tx, entry.after(made)).await?;
    tx.commit().await?;
    tracing::info!(user.id = %account.id, invitation.id = %invitation.id, "accepted an invitation");
    Ok(account)
}

/// Whoever gave the invitation must still be there and still be allowed to: one who was dismissed
/// leaves no open door behind.
async fn require_inviter(tx: &mut Tx, invitation: &Invitation) -> Result<(), CredentialError> {
    let inviter = accounts::find_account(tx, invitation.invited_by).await?;
    let inviter = inviter
        .filter(|inviter| !inviter.disabled)
        .ok_or(CredentialError::LinkInvalid)?;
    Authority::of(&inviter)
        .require_below(invitation.role, &invitation.stores)
        .map_err(|_not_held| CredentialError::LinkInvalid)
}
