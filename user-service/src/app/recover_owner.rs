//! Lets an owner in again who has lost the second factor and every recovery code, when nobody else
//! could help: whoever runs the machine says so in the settings.

use anyhow::{Context as _, ensure};
use common::time::Timestamp;
use secrecy::ExposeSecret;
use store::Tx;

use super::{api_keys, mfa, passwords};
use crate::audit::{self, Actor};
use crate::domain::account::Account;
use crate::domain::email::Email;
use crate::domain::password;
use crate::domain::session::RevokeReason;
use crate::oidc::client::hash_of;
use crate::settings::OwnerSettings;
use crate::state::AppState;
use crate::store::{accounts, owner_recoveries, sessions};

/// Gives the owner account of the settings their password, takes every second factor from it, ends its
/// sessions and revokes its API keys, once for each text in `owner.recovery`: of replicas that start at
/// once one does it, and later starts with the same text change nothing.
///
/// # Errors
/// When the settings name no owner in force, or a password that is not acceptable.
pub(crate) async fn recover_owner_if_asked(
    state: &AppState,
    settings: &OwnerSettings,
) -> anyhow::Result<()> {
    let text = settings.recovery.as_str();
    if text.is_empty() {
        return Ok(());
    }
    let text_hash = hash_of(text);
    let mut tx = state.db.read().await?;
    if owner_recoveries::is_done(&mut tx, &text_hash).await? {
        return Ok(());
    }
    drop(tx);
    let email = Email::parse(&settings.email).context("owner.email is not an email address")?;
    let fault = password::judge_new(settings.password.expose_secret(), Some(&email));
    if let Err(fault) = fault {
        anyhow::bail!("owner.recovery needs owner.password (MARU_OWNER_PASSWORD): {fault}");
    }
    let turn = state.hasher.turn().await?;
    let (_turn, password_hash) = turn.hash(settings.password.clone()).await?;

    let (mut tx, now) = (state.db.begin().await?, state.clock.now());
    if !owner_recoveries::insert(&mut tx, &text_hash, now).await? {
        return Ok(());
    }
    let owner = find_owner(&mut tx, &email).await?;
    recover(state, &mut tx, &owner, &password_hash, now).await?;
    tx.commit().await?;
    tracing::warn!(user.id = %owner.id, "let the owner in again, as owner.recovery asks");
    Ok(())
}

async fn find_owner(tx: &mut Tx, email: &Email) -> anyhow::Result<Account> {
    let found = accounts::find_credentials(tx, &email.key()).await?;
    let account = match found {
        Some(found) => accounts::find_account_locked(tx, found.id).await?,
        None => None,
    };
    let account = account.context("owner.recovery: no account has owner.email")?;
    ensure!(
        account.is_active_owner(),
        "owner.recovery: the account with owner.email is no owner, or disabled"
    );
    Ok(account)
}

async fn recover(
    state: &AppState,
    tx: &mut Tx,
    owner: &Account,
    password_hash: &str,
    now: Timestamp,
) -> anyhow::Result<()> {
    mfa::reset::remove_all(tx, owner.id).await?;
    passwords::put_in_force(state, tx, owner, password_hash).await?;
    sessions::revoke_sessions_of(tx, owner.id, RevokeReason::Ended, now).await?;
    state.revocations.follows(tx);
    api_keys::revoke_all(state, tx, Actor::System, owner.id).await?;
    mfa::tell(state, tx, owner, "second_factors_reset").await?;
    let entry = audit::on_account(Actor::System, "owner.recovered", owner);
    audit::record(state, tx, entry).await?;
    Ok(())
}
