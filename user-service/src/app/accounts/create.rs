//! Makes an account.

use std::collections::BTreeSet;

use common::auth::{Principal, Role};
use common::ids::{StoreId, UserId};
use common::settings::Profile;
use secrecy::SecretString;

use crate::app::passwords;
use crate::app::whoami::caller;
use crate::audit;
use crate::domain::account::Account;
use crate::domain::authority::Authority;
use crate::domain::email::Email;
use crate::error::AccountError;
use crate::state::AppState;
use crate::store::accounts;

/// An account to make. The password was judged before.
pub(crate) struct NewAccount {
    pub(crate) email: Email,
    pub(crate) display_name: String,
    /// `None`: the person chooses it with the link that is mailed to them.
    pub(crate) password: Option<SecretString>,
    pub(crate) roles: BTreeSet<Role>,
    pub(crate) stores: BTreeSet<StoreId>,
}

/// Makes the account, within what the caller may give.
pub(crate) async fn create(
    state: &AppState,
    principal: &Principal,
    new: NewAccount,
) -> Result<Account, AccountError> {
    let mut tx = state.db.read().await?;
    let caller_before = caller(state, &mut tx, principal).await?;
    drop(tx);
    Authority::of(&caller_before).require(&new.roles, &new.stores)?;
    let is_chosen = new.password.is_some();
    if is_chosen && state.profile != Profile::Development {
        // OWASP ASVS 5.0, 6.4.6: administrators neither choose nor know a person's password.
        return Err(AccountError::ForeignPassword);
    }
    let hash = match new.password {
        // Hashed before the transaction, which holds up every other writer of an SQLite file.
        Some(password) => state.hasher.turn().await?.hash(password).await?.1,
        None => state.hasher.unmatched().to_owned(),
    };

    let now = state.clock.now();
    let account = Account {
        id: UserId::new(&state.clock),
        email: new.email.as_str().to_owned(),
        display_name: new.display_name,
        roles: new.roles,
        stores: new.stores,
        disabled: false,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let mut tx = state.db.begin().await?;
    let giver = caller(state, &mut tx, principal).await?;
    Authority::of(&giver).require(&account.roles, &account.stores)?;
    if !accounts::insert_account(&mut tx, &account, &new.email.key(), &hash).await? {
        return Err(AccountError::EmailTaken);
    }
    if !is_chosen {
        passwords::mail_link(state, &mut tx, &account).await?;
    }
    let entry = audit::on_account(principal, "account.created", &account);
    audit::record(state, &mut tx, entry.after(audit::account_state(&account))).await?;
    tx.commit().await?;
    tracing::info!(user.id = %account.id, by.id = %giver.id, "made an account");
    Ok(account)
}
