//! Mails a link that sets a new password to whoever forgot theirs.
//!
//! Whoever asks learns nothing: what is asked is written down alike for every address, and looked up
//! afterwards by a worker, so neither the answer nor its time depends on whether the account exists.

use std::time::Duration;

use contracts::events::MailTemplate;
use store::{StoreError, Tx};
use uuid::Uuid;

use crate::app::log_in::refuse_if_throttled;
use crate::app::mail::{self, Mail};
use crate::client_address::ClientAddress;
use crate::domain::account::Account;
use crate::domain::email::Email;
use crate::domain::link::LinkPurpose;
use crate::error::CredentialError;
use crate::keys::{OpaqueToken, TokenKind};
use crate::state::AppState;
use crate::store::link_tokens::{self, NewLink};
use crate::store::reset_requests::{self, ResetRequest};
use crate::store::{accounts, profiles};
use crate::throttle::Door;

/// Writes down that somebody forgot the password of the account with this email.
pub(crate) async fn ask(
    state: &AppState,
    email: &str,
    address: ClientAddress,
) -> Result<(), CredentialError> {
    // What cannot be an address is no account's, and is treated as any other unknown one.
    let email_key = Email::parse(email.trim()).map_or_else(String::new, |email| email.key());
    let attempt = state
        .throttle
        .attempt_at(Door::Reset, &email_key, address.group());
    refuse_if_throttled(state, &attempt, &email_key).await?;
    // Every request counts: each may send a mail to somebody who did not ask for it.
    state.throttle.failed(&attempt).await;
    let request = ResetRequest {
        id: Uuid::new_v4(),
        email_key,
    };
    let mut tx = state.db.begin().await?;
    reset_requests::insert_request(&mut tx, &request, state.clock.now()).await?;
    tx.wake_on_commit(&state.reset_requests);
    tx.commit().await?;
    Ok(())
}

/// Asks for the mails of every request that waits. A crash leaves the rest for the next call.
pub(crate) async fn send_waiting(state: &AppState) -> Result<(), CredentialError> {
    loop {
        let mut tx = state.db.begin().await?;
        let Some(request) = reset_requests::next_request(&mut tx).await? else {
            return Ok(());
        };
        let found = accounts::find_credentials(&mut tx, &request.email_key).await?;
        if let Some(found) = found.filter(|found| !found.disabled)
            && let Some(account) = accounts::find_account(&mut tx, found.id).await?
        {
            mail_link(state, &mut tx, &account).await?;
        }
        reset_requests::delete_request(&mut tx, request.id).await?;
        tx.commit().await?;
    }
}

/// Mails the holder of an account a link with which to choose a password.
pub(crate) async fn mail_link(
    state: &AppState,
    tx: &mut Tx,
    account: &Account,
) -> Result<(), StoreError> {
    let (now, minutes) = (state.clock.now(), state.links.reset_minutes);
    let life = Duration::from_secs(u64::from(minutes) * 60);
    let token = OpaqueToken::new(TokenKind::Link);
    let link = NewLink {
        token_hash: &token.hash(),
        purpose: LinkPurpose::ResetPassword,
        user_id: account.id,
        email: &account.email,
        created_at: now,
        expires_at: now.plus(life),
    };
    link_tokens::insert_link(tx, &link).await?;
    let locale = profiles::find_locale(tx, account.id).await?;
    let variables = [
        (
            "link",
            &*mail::link(state, "reset-password", token.expose()),
        ),
        ("display_name", &account.display_name),
        ("minutes", &minutes.to_string()),
    ];
    let request = Mail {
        recipient: &account.email,
        template: MailTemplate::ResetPassword,
        locale: locale.as_deref(),
        variables: &variables,
        life,
    };
    mail::request(state, tx, &request).await?;
    Ok(())
}
