//! Second factors: who needs one, which ones an account has, and the logins that wait for one.
//!
//! A login whose password was right and whose account has a second factor gets a [`Challenge`]
//! instead of tokens, which a typed code answers. A passkey is both factors at once: who has one signs
//! in with it from the beginning, and the password alone is not enough any more.

pub(crate) mod challenge;
pub(crate) mod recovery;
pub(crate) mod reset;
pub(crate) mod totp;

use common::auth::{Principal, Role};
use common::ids::UserId;
use contracts::events::MailTemplate;
use serde::Serialize;
use store::{StoreError, Tx};

pub(crate) use challenge::Challenge;

use super::mail::{self, Mail};
use super::whoami::caller;
use crate::domain::account::Account;
use crate::error::CredentialError;
use crate::state::AppState;
use crate::store::factors::HeldFactors;
use crate::store::{accounts, factors, profiles};

/// A way to answer a login that waits for a second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MfaMethod {
    /// A code of a generator.
    Totp,
    /// One of the codes that were shown when the generator was added.
    RecoveryCode,
    /// A passkey, by signing in with it in the place of the password.
    Passkey,
}

/// How an account may answer; nothing when its password is enough.
pub(crate) async fn methods_of(tx: &mut Tx, user: UserId) -> Result<Vec<MfaMethod>, StoreError> {
    Ok(methods(factors::count_held(tx, user).await?))
}

/// The ways in which somebody with these can prove who they are.
pub(crate) fn methods(held: HeldFactors) -> Vec<MfaMethod> {
    let has_totp = held.totp > 0;
    let ways = [
        (has_totp, MfaMethod::Totp),
        (has_totp && held.recovery_codes > 0, MfaMethod::RecoveryCode),
        (held.passkeys > 0, MfaMethod::Passkey),
    ];
    let ways = ways.into_iter().filter(|(is_there, _)| *is_there);
    ways.map(|(_, method)| method).collect()
}

/// Whether this account needs a second factor and has none.
pub(super) async fn is_missing(
    state: &AppState,
    tx: &mut Tx,
    account: &Account,
) -> Result<bool, StoreError> {
    Ok(is_required(state, account) && methods_of(tx, account.id).await?.is_empty())
}

/// Whether this account needs a second factor.
pub(super) fn is_required(state: &AppState, account: &Account) -> bool {
    let manages = [Role::Owner, Role::AreaManager, Role::StoreManager]
        .iter()
        .any(|role| account.roles.contains(role));
    state.mfa.required_for_managers && manages
}

/// Tells the holder of an account what happened to its second factors.
pub(crate) async fn tell(
    state: &AppState,
    tx: &mut Tx,
    account: &Account,
    change: &str,
) -> Result<(), StoreError> {
    let locale = profiles::find_locale(tx, account.id).await?;
    let variables = [
        ("display_name", account.display_name.as_str()),
        ("change", change),
    ];
    let template = MailTemplate::SecondFactorChanged;
    let news = Mail::news(&account.email, template, locale.as_deref(), &variables);
    mail::request(state, tx, &news).await
}

/// The second factors of an account.
pub(crate) struct Overview {
    pub(crate) methods: Vec<MfaMethod>,
    pub(crate) recovery_codes_left: i64,
    pub(crate) enrolment_required: bool,
}

/// The caller's second factors.
pub(crate) async fn overview(
    state: &AppState,
    principal: &Principal,
) -> Result<Overview, CredentialError> {
    let mut tx = state.db.read().await?;
    let id = caller(state, &mut tx, principal).await?.id;
    // The whole account: roles that are withheld are what makes a second factor necessary.
    let account = accounts::find_account(&mut tx, id).await?;
    let account = account.ok_or(CredentialError::Unknown("user"))?;
    Ok(Overview {
        methods: methods_of(&mut tx, id).await?,
        recovery_codes_left: factors::count_recovery_codes(&mut tx, id).await?,
        enrolment_required: is_missing(state, &mut tx, &account).await?,
    })
}
