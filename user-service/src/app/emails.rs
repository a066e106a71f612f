//! Proves that mails to an address are read, and changes addresses.

use std::time::Duration;

use common::auth::Principal;
use common::ids::UserId;
use contracts::events::MailTemplate;
use secrecy::SecretString;
use store::{StoreError, Tx};

use super::log_in::refuse_if_throttled;
use super::mail::{self, Mail};
use super::reauth::{Reauth, confirm_password};
use super::whoami::{caller, caller_off_terminal};
use crate::audit::{self, Actor};
use crate::client_address::ClientAddress;
use crate::domain::account::Account;
use crate::domain::email::Email;
use crate::domain::link::LinkPurpose;
use crate::error::{AccountError, CredentialError, SessionError};
use crate::keys::{OpaqueToken, TokenKind};
use crate::state::AppState;
use crate::store::link_tokens::{self, NewLink};
use crate::store::{accounts, profiles};
use crate::throttle::Door;

/// Asks for a mail that proves the caller's present address.
pub(crate) async fn ask_verification(
    state: &AppState,
    principal: &Principal,
    address: ClientAddress,
) -> Result<(), CredentialError> {
    let mut tx = state.db.read().await?;
    let account = caller(state, &mut tx, principal).await?;
    drop(tx);
    count_mail(state, &account, address).await?;
    let mut tx = state.db.begin().await?;
    let account = caller_locked(state, &mut tx, principal, account.id).await?;
    send_link(state, &mut tx, &account, &account.email).await?;
    tx.commit().await?;
    Ok(())
}

/// Asks for a mail to another address, which takes the present one's place once its link is used.
pub(crate) async fn ask_change(
    state: &AppState,
    principal: &Principal,
    email: &Email,
    reauth: Reauth,
) -> Result<(), CredentialError> {
    let mut tx = state.db.read().await?;
    let account = caller_off_terminal(state, &mut tx, principal).await?;
    drop(tx);
    let address = reauth.address;
    drop(confirm_password(state, &account, reauth).await?);
    count_mail(state, &account, address).await?;
    let mut tx = state.db.begin().await?;
    let account = caller_locked(state, &mut tx, principal, account.id).await?;
    let holder = accounts::find_credentials(&mut tx, &email.key()).await?;
    if holder.is_some_and(|holder| holder.id != account.id) {
        return Err(AccountError::EmailTaken.into());
    }
    send_link(state, &mut tx, &account, email.as_str()).await?;
    tx.commit().await?;
    Ok(())
}

/// The caller's account, locked, so that whatever ends the session and takes links back finds the one
/// that is about to be sent, too.
async fn caller_locked(
    state: &AppState,
    tx: &mut Tx,
    principal: &Principal,
    id: UserId,
) -> Result<Account, SessionError> {
    accounts::find_account_locked(tx, id).await?;
    caller(state, tx, principal).await
}

/// Every mail counts: it may go to somebody who did not ask for it.
async fn count_mail(
    state: &AppState,
    account: &Account,
    address: ClientAddress,
) -> Result<(), CredentialError> {
    let email_key = account.email_key();
    let attempt = state
        .throttle
        .attempt_at(Door::Mail, &email_key, address.group());
    refuse_if_throttled(state, &attempt, &email_key).await?;
    state.throttle.failed(&attempt).await;
    Ok(())
}

/// Mails a link that proves `email`; the links sent before are worthless.
async fn send_link(
    state: &AppState,
    tx: &mut Tx,
    account: &Account,
    email: &str,
) -> Result<(), StoreError> {
    let (now, hours) = (state.clock.now(), state.links.verification_hours);
    let life = Duration::from_secs(u64::from(hours) * 3_600);
    let token = OpaqueToken::new(TokenKind::Link);
    let link = NewLink {
        token_hash: &token.hash(),
        purpose: LinkPurpose::VerifyEmail,
        user_id: account.id,
        email,
        created_at: now,
        expires_at: now.plus(life),
    };
    link_tokens::delete_links(tx, account.id, LinkPurpose::VerifyEmail).await?;
    link_tokens::insert_link(tx, &link).await?;
    let locale = profiles::find_locale(tx, account.id).await?;
    let variables = [
        ("link", &*mail::link(state, "verify-email", token.expose())),
        ("display_name", &account.display_name),
        ("hours", &hours.to_string()),
    ];
    let request = Mail {
        recipient: email,
        template: MailTemplate::VerifyEmail,
        locale: locale.as_deref(),
        variables: &variables,
        life,
    };
    mail::request(state, tx, &request).await
}

/// Uses a mailed link: the address it went to is proved, and becomes the account's if it was not.
pub(crate) async fn verify(state: &AppState, token: &SecretString) -> Result<(), CredentialError> {
    let token = OpaqueToken::parse(TokenKind::Link, token).ok_or(CredentialError::LinkInvalid)?;
    let mut tx = state.db.begin().await?;
    let now = state.clock.now();
    let (token_hash, purpose) = (token.hash(), LinkPurpose::VerifyEmail);
    let found = link_tokens::find_link(&mut tx, &token_hash, purpose, now).await?;
    let found = found.ok_or(CredentialError::LinkInvalid)?;
    // The account before its links, as whoever takes them back does: they do not wait for each other.
    let account = accounts::find_account_locked(&mut tx, found.user_id).await?;
    let account = account
        .filter(|account| !account.disabled)
        .ok_or(CredentialError::LinkInvalid)?;
    let link = link_tokens::take_link(&mut tx, &token_hash, purpose, now).await?;
    let link = link.ok_or(CredentialError::LinkInvalid)?;
    if link.email == account.email {
        profiles::set_email_verified(&mut tx, account.id, now).await?;
    } else {
        let email = Email::parse(&link.email).ok_or(CredentialError::LinkInvalid)?;
        replace(state, &mut tx, &account, &email).await?;
    }
    // Which address it was before and is now is personal, and an entry cannot be erased.
    let action = match link.email == account.email {
        true => "email.proved",
        false => "email.changed",
    };
    let entry = audit::on_account(Actor::Unknown, action, &account);
    audit::record(state, &mut tx, entry).await?;
    tx.commit().await?;
    tracing::info!(user.id = %account.id, "proved an email address");
    Ok(())
}

/// Gives the account its proved new address and tells the old one.
async fn replace(
    state: &AppState,
    tx: &mut Tx,
    account: &Account,
    email: &Email,
) -> Result<(), CredentialError> {
    let key = email.key();
    let holder = accounts::find_credentials(tx, &key).await?;
    if holder.is_some_and(|holder| holder.id != account.id) {
        return Err(AccountError::EmailTaken.into());
    }
    let set = profiles::set_email(tx, account.id, (email.as_str(), &key), state.clock.now()).await;
    set.map_err(|error| match error.is_unique_violation() {
        true => AccountError::EmailTaken,
        false => error.into(),
    })?;
    // Links that set a new password, or prove the old address, may lie in the old mailbox.
    for purpose in [LinkPurpose::ResetPassword, LinkPurpose::VerifyEmail] {
        link_tokens::delete_links(tx, account.id, purpose).await?;
    }
    let locale = profiles::find_locale(tx, account.id).await?;
    let variables = [
        ("display_name", account.display_name.as_str()),
        ("new_email", email.as_str()),
    ];
    let template = MailTemplate::EmailChanged;
    let news = Mail::news(&account.email, template, locale.as_deref(), &variables);
    mail::request(state, tx, &news).await?;
    Ok(())
}
