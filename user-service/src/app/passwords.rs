//! Passwords: forgotten, set anew, changed.

mod change;
mod forgot;
mod reset;

use common::time::Timestamp;
use contracts::events::MailTemplate;
use store::{StoreError, Tx};

pub(crate) use change::{PasswordChange, change};
pub(crate) use forgot::{ask, mail_link, send_waiting};
pub(crate) use reset::{PasswordReset, reset};

use super::mail::{self, Mail};
use crate::domain::account::Account;
use crate::domain::link::LinkPurpose;
use crate::state::AppState;
use crate::store::{factors, link_tokens, profiles};

/// Puts a new password in force and makes worthless whatever the old one, or a forgotten one, led
/// to; tells the account's holder. Sessions are the caller's to end.
pub(super) async fn put_in_force(
    state: &AppState,
    tx: &mut Tx,
    account: &Account,
    hash: &str,
) -> Result<Timestamp, StoreError> {
    profiles::set_password_hash(tx, account.id, hash).await?;
    link_tokens::delete_links(tx, account.id, LinkPurpose::ResetPassword).await?;
    // Whoever knew the old password may have asked for an address of their own.
    link_tokens::delete_links(tx, account.id, LinkPurpose::VerifyEmail).await?;
    factors::delete_challenges_of(tx, account.id).await?;
    let locale = profiles::find_locale(tx, account.id).await?;
    let variables = [("display_name", account.display_name.as_str())];
    let template = MailTemplate::PasswordChanged;
    let news = Mail::news(&account.email, template, locale.as_deref(), &variables);
    mail::request(state, tx, &news).await?;
    Ok(state.clock.now())
}
