//! Accounts with their roles and stores.

use std::collections::{BTreeMap, BTreeSet};

use common::auth::Role;
use common::ids::{StoreId, UserId};
use common::time::Timestamp;
use store::{StoreError, Tx};

use super::factors::{HeldFactors, held_factors};
use super::roles;
use crate::domain::account::Account;

#[derive(sqlx::FromRow)]
struct AccountRow {
    id: UserId,
    email: String,
    display_name: String,
    disabled: bool,
    version: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// What a login is checked against.
#[derive(sqlx::FromRow)]
pub(crate) struct Credentials {
    pub(crate) id: UserId,
    pub(crate) password_hash: String,
    pub(crate) disabled: bool,
}

/// The credentials of somebody who asks to sign in at some address.
#[derive(sqlx::FromRow)]
pub(crate) struct Candidate {
    #[sqlx(flatten)]
    pub(crate) credentials: Credentials,
    /// When the account last signed in from this address.
    pub(crate) last_seen_at: Option<Timestamp>,
}

/// An account in force, with everything that decides on its login.
pub(crate) struct InForce {
    pub(crate) account: Account,
    pub(crate) password_hash: String,
    pub(crate) factors: HeldFactors,
}

#[derive(sqlx::FromRow)]
struct InForceRow {
    #[sqlx(flatten)]
    account: AccountRow,
    password_hash: String,
    #[sqlx(flatten)]
    factors: HeldFactors,
}

/// Which accounts to list.
#[derive(Clone, Debug)]
pub(crate) enum AccountFilter {
    All,
    /// Those that work in one of these stores, and the one named, which need not.
    In(Vec<StoreId>, Option<UserId>),
}

/// Whether there is any account.
pub(crate) async fn any_account(tx: &mut Tx) -> Result<bool, StoreError> {
    let first = store::fetch_optional!(tx, (UserId,), "SELECT id FROM users LIMIT 1")?;
    Ok(first.is_some())
}

/// Stores a new account; `false` when another one has the email.
pub(crate) async fn insert_account(
    tx: &mut Tx,
    account: &Account,
    email_key: &str,
    password_hash: &str,
) -> Result<bool, StoreError> {
    let inserted = store::execute!(
        tx,
        "INSERT INTO users (id, email, email_key, display_name, password_hash, disabled, version,
                            created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (email_key) DO NOTHING",
        account.id,
        &account.email,
        email_key,
        &account.display_name,
        password_hash,
        account.disabled,
        account.version,
        account.created_at,
        account.updated_at,
    )?;
    if inserted == 0 {
        return Ok(false);
    }
    insert_roles(tx, account).await?;
    insert_stores(tx, account).await?;
    Ok(true)
}

/// Stores a changed account, unless it changed from another version than the one before.
pub(crate) async fn update_account(tx: &mut Tx, account: &Account) -> Result<bool, StoreError> {
    let updated = store::execute!(
        tx,
        "UPDATE users SET display_name = $2, disabled = $3, version = $4, updated_at = $5
         WHERE id = $1 AND version = $4 - 1",
        account.id,
        &account.display_name,
        account.disabled,
        account.version,
        account.updated_at,
    )?;
    if updated == 0 {
        return Ok(false);
    }
    store::execute!(tx, "DELETE FROM user_roles WHERE user_id = $1", account.id)?;
    insert_roles(tx, account).await?;
    store::execute!(tx, "DELETE FROM user_stores WHERE user_id = $1", account.id)?;
    insert_stores(tx, account).await?;
    Ok(true)
}

async fn insert_roles(tx: &mut Tx, account: &Account) -> Result<(), StoreError> {
    let id = account.id;
    let names: Vec<&'static str> = account.roles.iter().map(|role| role.as_str()).collect();
    store::insert_many!(
        tx,
        "INSERT INTO user_roles (user_id, role)",
        names,
        |name| [id, *name]
    )?;
    Ok(())
}

async fn insert_stores(tx: &mut Tx, account: &Account) -> Result<(), StoreError> {
    let id = account.id;
    let stores: Vec<StoreId> = account.stores.iter().copied().collect();
    store::insert_many!(
        tx,
        "INSERT INTO user_stores (user_id, store_id)",
        stores,
        |store_id| [id, *store_id]
    )?;
    Ok(())
}

/// The credentials under an email in its folded form.
pub(crate) async fn find_credentials(
    tx: &mut Tx,
    email_key: &str,
) -> Result<Option<Credentials>, StoreError> {
    store::fetch_optional!(
        tx,
        Credentials,
        "SELECT id, password_hash, disabled FROM users WHERE email_key = $1",
        email_key
    )
}

/// The credentials under an email in its folded form, for somebody at this address.
pub(crate) async fn find_candidate(
    tx: &mut Tx,
    email_key: &str,
    address_key: &str,
) -> Result<Option<Candidate>, StoreError> {
    store::fetch_optional!(
        tx,
        Candidate,
        "SELECT u.id, u.password_hash, u.disabled, k.last_seen_at
         FROM users AS u
         LEFT JOIN known_addresses AS k ON k.user_id = u.id AND k.address_key = $2
         WHERE u.email_key = $1",
        email_key,
        address_key
    )
}

/// Replaces a password's hash, unless it was replaced meanwhile.
pub(crate) async fn update_password_hash(
    tx: &mut Tx,
    id: UserId,
    old: &str,
    new: &str,
) -> Result<(), StoreError> {
    let sql = "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2";
    store::execute!(tx, sql, id, old, new)?;
    Ok(())
}

/// One account.
pub(crate) async fn find_account(tx: &mut Tx, id: UserId) -> Result<Option<Account>, StoreError> {
    let row = store::fetch_optional!(
        tx,
        AccountRow,
        "SELECT id, email, display_name, disabled, version, created_at, updated_at
         FROM users WHERE id = $1",
        id
    )?;
    complete_one(tx, row).await
}

/// One account, kept from changing until the transaction ends.
pub(crate) async fn find_account_locked(
    tx: &mut Tx,
    id: UserId,
) -> Result<Option<Account>, StoreError> {
    let row = store::fetch_optional_locked!(
        tx,
        AccountRow,
        "SELECT id, email, display_name, disabled, version, created_at, updated_at
         FROM users WHERE id = $1",
        id
    )?;
    complete_one(tx, row).await
}

/// Those of these accounts that are in force, kept from changing until the transaction ends. The ids
/// come in ascending order, as the rows do.
pub(crate) async fn list_in_force_locked(
    tx: &mut Tx,
    ids: &[UserId],
) -> Result<Vec<InForce>, StoreError> {
    let rows = store::fetch_in_locked!(
        tx,
        InForceRow,
        concat!(
            "SELECT id, email, display_name, disabled, version, created_at, updated_at,
                    password_hash, ",
            held_factors!("users.id"),
            " FROM users WHERE NOT disabled AND id IN"
        ),
        ids,
        "ORDER BY id"
    )?;
    let (accounts, rest): (Vec<_>, Vec<_>) = rows
        .into_iter()
        .map(|row| (row.account, (row.password_hash, row.factors)))
        .unzip();
    let accounts = complete(tx, accounts).await?;
    let with_rest = |(account, (password_hash, factors))| InForce {
        account,
        password_hash,
        factors,
    };
    Ok(accounts.into_iter().zip(rest).map(with_rest).collect())
}

/// The account of a session that is in force; `None` when the session or the account is over.
pub(crate) async fn find_in_session(
    tx: &mut Tx,
    session: crate::domain::session::SessionId,
    now: Timestamp,
) -> Result<Option<Account>, StoreError> {
    let row = store::fetch_optional!(
        tx,
        AccountRow,
        "SELECT u.id, u.email, u.display_name, u.disabled, u.version, u.created_at, u.updated_at
         FROM sessions AS s JOIN users AS u ON u.id = s.user_id
         WHERE s.id = $1 AND s.revoked_at IS NULL AND s.expires_at > $2 AND NOT u.disabled",
        session,
        now
    )?;
    complete_one(tx, row).await
}

/// Accounts in the order of their creation, from after `after` on.
pub(crate) async fn list_accounts(
    tx: &mut Tx,
    filter: &AccountFilter,
    after: Option<UserId>,
    limit: i64,
) -> Result<Vec<Account>, StoreError> {
    let AccountFilter::In(stores, and) = filter else {
        let rows = store::fetch_all!(
            tx,
            AccountRow,
            "SELECT u.id, u.email, u.display_name, u.disabled, u.version, u.created_at, u.updated_at
             FROM users AS u WHERE ($1 IS NULL OR u.id > $1) ORDER BY u.id LIMIT $2",
            after,
            limit
        )?;
        return complete(tx, rows).await;
    };
    let working = store::fetch_in!(
        tx,
        (UserId,),
        "SELECT user_id FROM user_stores WHERE ($1 IS NULL OR user_id > $1) AND store_id IN",
        stores,
        after
    )?;
    let mut page: BTreeSet<UserId> = working.into_iter().map(|(id,)| id).collect();
    page.extend(and.filter(|id| after.is_none_or(|after| *id > after)));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let page: Vec<UserId> = page.into_iter().take(limit).collect();
    let mut rows = store::fetch_in!(
        tx,
        AccountRow,
        "SELECT u.id, u.email, u.display_name, u.disabled, u.version, u.created_at, u.updated_at
         FROM users AS u WHERE u.id IN",
        page
    )?;
    rows.sort_by_key(|row| row.id);
    complete(tx, rows).await
}

/// Waits for whoever else changes owners, and keeps others waiting until the transaction ends.
pub(crate) async fn lock_owners(tx: &mut Tx) -> Result<(), StoreError> {
    let _owners = store::fetch_all_locked!(
        tx,
        (UserId,),
        "SELECT user_id FROM user_roles WHERE role = $1 ORDER BY user_id",
        roles::OWNER
    )?;
    Ok(())
}

/// How many accounts can run the chain now.
pub(crate) async fn count_active_owners(tx: &mut Tx) -> Result<i64, StoreError> {
    let (count,) = store::fetch_one!(
        tx,
        (i64,),
        "SELECT count(*) FROM user_roles AS r JOIN users AS u ON u.id = r.user_id
         WHERE r.role = $1 AND NOT u.disabled",
        roles::OWNER
    )?;
    Ok(count)
}

async fn complete_one(tx: &mut Tx, row: Option<AccountRow>) -> Result<Option<Account>, StoreError> {
    Ok(complete(tx, row.into_iter().collect()).await?.pop())
}

/// Adds roles and stores to rows, with one statement for the whole page.
async fn complete(tx: &mut Tx, rows: Vec<AccountRow>) -> Result<Vec<Account>, StoreError> {
    let ids: Vec<UserId> = rows.iter().map(|row| row.id).collect();
    let held = store::fetch_in!(
        tx,
        (UserId, Option<String>, Option<StoreId>),
        "SELECT user_id, role, store_id
         FROM (SELECT user_id, role, CAST(NULL AS uuid) AS store_id FROM user_roles
               UNION ALL
               SELECT user_id, CAST(NULL AS text), store_id FROM user_stores) AS held
         WHERE user_id IN",
        ids
    )?;
    let mut roles: BTreeMap<UserId, BTreeSet<Role>> = BTreeMap::new();
    let mut stores: BTreeMap<UserId, BTreeSet<StoreId>> = BTreeMap::new();
    for (user, role, store) in held {
        let role = role.and_then(|name| roles::parse(&name));
        roles.entry(user).or_default().extend(role);
        stores.entry(user).or_default().extend(store);
    }
    let account = |row: AccountRow| Account {
        roles: roles.remove(&row.id).unwrap_or_default(),
        stores: stores.remove(&row.id).unwrap_or_default(),
        id: row.id,
        email: row.email,
        display_name: row.display_name,
        disabled: row.disabled,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    };
    Ok(rows.into_iter().map(account).collect())
}
