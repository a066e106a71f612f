//! What people change about themselves.

use common::auth::Principal;
use store::Tx;

use super::whoami::caller;
use crate::domain::account::{Account, AccountChange};
use crate::error::{AccountError, CredentialError, SessionError};
use crate::state::AppState;
use crate::store::profiles::{self, Profile};
use crate::store::{accounts, factors, pos_devices};

/// What is to become different; absent parts stay.
pub(crate) struct ProfileChange {
    pub(crate) display_name: Option<String>,
    pub(crate) locale: Option<String>,
}

/// What people see of their own account beside its name, roles and stores.
pub(crate) struct Settings {
    pub(crate) profile: Profile,
    pub(crate) totp_in_force: bool,
    pub(crate) has_pin: bool,
}

/// The settings of an account.
pub(crate) async fn settings(tx: &mut Tx, account: &Account) -> Result<Settings, CredentialError> {
    let profile = profiles::find_profile(tx, account.id).await?;
    let totp = factors::find_totp(tx, account.id).await?;
    Ok(Settings {
        profile: profile.ok_or(SessionError::SessionEnded)?,
        totp_in_force: totp.is_some_and(|totp| totp.confirmed_at.is_some()),
        has_pin: pos_devices::find_pin_hash(tx, account.id).await?.is_some(),
    })
}

/// Changes the caller's own profile. Repeating it changes nothing further.
pub(crate) async fn change(
    state: &AppState,
    principal: &Principal,
    change: ProfileChange,
) -> Result<(), CredentialError> {
    let mut tx = state.db.begin().await?;
    let id = caller(state, &mut tx, principal).await?.id;
    // The whole account, not the part that this session may use.
    let account = accounts::find_account_locked(&mut tx, id).await?;
    let account = account.ok_or(SessionError::SessionEnded)?;
    if let Some(locale) = &change.locale {
        profiles::set_locale(&mut tx, id, locale).await?;
    }
    if let Some(name) = change
        .display_name
        .filter(|name| *name != account.display_name)
    {
        let renamed = AccountChange {
            display_name: Some(name),
            ..AccountChange::default()
        };
        let renamed = account.changed(renamed, state.clock.now());
        if !accounts::update_account(&mut tx, &renamed).await? {
            return Err(AccountError::Changed.into());
        }
    }
    tx.commit().await?;
    Ok(())
}
