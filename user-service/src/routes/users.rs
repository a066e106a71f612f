//! `/api/users`: accounts.

use std::collections::BTreeSet;

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, get, patch, post, web};
use common::auth::{Permit, Role, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, Valid, ValidQuery};
use common::ids::{StoreId, UserId};
use common::page::{Page, check_limit, decode_cursor, limit_or_default};
use common::time::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::accounts::{self, NewAccount};
use crate::domain::account::{Account, AccountChange, MAX_NAME_CHARACTERS, MAX_STORES};
use crate::domain::email::Email;
use crate::domain::password;
use crate::state::AppState;

/// An account to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserIn {
    /// Signs in with it; ASCII, unique whatever its case.
    #[schema(format = Email, max_length = 254)]
    email: String,
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    display_name: String,
    /// Left out: the person chooses it with the link that is mailed to them. Only the development
    /// profile takes one, of 8 to 128 characters and none of the most common ones: nobody else is to
    /// know a person's password.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, min_length = 8, max_length = 128)]
    password: Option<SecretString>,
    /// At least one.
    #[schema(min_items = 1)]
    roles: Vec<Role>,
    /// Where the roles hold, at most 50; an owner's hold everywhere.
    #[serde(default)]
    #[schema(max_items = 50)]
    stores: Vec<StoreId>,
}

/// What is to become different in an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserPatch {
    /// The version that the change was made from.
    #[schema(minimum = 1)]
    version: i64,
    /// 1 to 100 characters.
    #[serde(default)]
    display_name: Option<String>,
    /// All of them, at least one.
    #[serde(default)]
    #[schema(min_items = 1)]
    roles: Option<Vec<Role>>,
    /// All of them, at most 50.
    #[serde(default)]
    #[schema(max_items = 50)]
    stores: Option<Vec<StoreId>>,
    /// Disabling ends every session of the account.
    #[serde(default)]
    disabled: Option<bool>,
}

/// An account.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserOut {
    /// Its id.
    id: UserId,
    /// Signs in with it.
    email: String,
    /// What people call it.
    display_name: String,
    /// What it may do.
    roles: BTreeSet<Role>,
    /// Where; an owner's roles hold everywhere.
    stores: BTreeSet<StoreId>,
    /// Whether it may not sign in.
    disabled: bool,
    /// Counts changes, from 1.
    version: i64,
    /// When it was made.
    created_at: Timestamp,
    /// When it was changed last.
    updated_at: Timestamp,
}

/// Which accounts to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UserQuery {
    /// Only those that work in this store.
    #[serde(default)]
    store_id: Option<StoreId>,
    /// Page size, 1 to 200; 50 when left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// From the page before.
    #[serde(default)]
    cursor: Option<String>,
}

impl From<Account> for UserOut {
    fn from(account: Account) -> Self {
        Self {
            id: account.id,
            email: account.email,
            display_name: account.display_name,
            roles: account.roles,
            stores: account.stores,
            disabled: account.disabled,
            version: account.version,
            created_at: account.created_at,
            updated_at: account.updated_at,
        }
    }
}

impl Check for UserIn {
    fn check(&self, faults: &mut Faults) {
        let email = Email::parse(&self.email);
        faults.require(
            email.is_some(),
            "email",
            "malformed",
            "an ASCII email address",
        );
        faults.require_text(&self.display_name, "display_name", MAX_NAME_CHARACTERS);
        if let Some(password) = &self.password
            && let Err(fault) = password::judge_new(password.expose_secret(), email.as_ref())
        {
            faults.add("password", fault.code(), fault.to_string());
        }
        check_roles(&self.roles, faults);
        check_stores(&self.stores, faults);
    }
}

impl Check for UserPatch {
    fn check(&self, faults: &mut Faults) {
        let version = "a version that an account had";
        faults.require(self.version >= 1, "version", "out_of_range", version);
        if let Some(name) = &self.display_name {
            faults.require_text(name, "display_name", MAX_NAME_CHARACTERS);
        }
        if let Some(roles) = &self.roles {
            check_roles(roles, faults);
        }
        check_stores(self.stores.as_deref().unwrap_or_default(), faults);
    }
}

impl Check for UserQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
    }
}

fn check_roles(roles: &[Role], faults: &mut Faults) {
    faults.require(!roles.is_empty(), "roles", "empty", "at least one role");
    let for_accounts = roles.iter().all(|role| role.is_for_accounts());
    let detail = "service is no role of an account";
    faults.require(for_accounts, "roles", "not_for_accounts", detail);
}

fn check_stores(stores: &[StoreId], faults: &mut Faults) {
    let few = stores.len() <= MAX_STORES;
    faults.require(few, "stores", "too_many", "at most 50 stores");
}

impl UserIn {
    pub(crate) fn new(
        email: String,
        display_name: String,
        password: Option<SecretString>,
        roles: BTreeSet<Role>,
        stores: BTreeSet<StoreId>,
    ) -> Self {
        Self {
            email,
            display_name,
            password,
            roles: roles.into_iter().collect(),
            stores: stores.into_iter().collect(),
        }
    }

    /// The account to make, for a value that was checked.
    pub(crate) fn into_new(self) -> Result<NewAccount, ApiError> {
        // Checked already; a wire type alone does not prove it.
        let email = Email::parse(&self.email).ok_or_else(|| ApiError::invalid(Vec::new()))?;
        Ok(NewAccount {
            email,
            display_name: self.display_name,
            password: self.password,
            roles: self.roles.into_iter().collect(),
            stores: self.stores.into_iter().collect(),
        })
    }
}

impl From<UserPatch> for AccountChange {
    fn from(patch: UserPatch) -> Self {
        Self {
            display_name: patch.display_name,
            roles: patch.roles.map(BTreeSet::from_iter),
            stores: patch.stores.map(BTreeSet::from_iter),
            disabled: patch.disabled,
        }
    }
}

/// Makes an account.
///
/// For owners. Repeating it makes no second account: 409 `email_taken`. It takes no
/// `Idempotency-Key`, because a fingerprint of a body with a password must not be kept. Without a
/// password it emits `mail.requested.v1`.
#[access(body.stores)]
#[utoipa::path(
    tag = "users",
    request_body = UserIn,
    responses(
        (status = 201, description = "Made.", body = UserOut),
        (status = 409, description = "Another account has this email.", body = Problem),
        (status = 422, description = "Some fields are not acceptable.", body = Problem),
    ),
)]
#[post("/api/users")]
pub(crate) async fn create(
    auth: Permit<permits::UsersWrite>,
    state: web::Data<AppState>,
    body: Valid<UserIn>,
) -> Result<HttpResponse, ApiError> {
    let new = body.0.into_new()?;
    let account = accounts::create(&state, &auth, new).await?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/api/users/{}", account.id)))
        .json(UserOut::from(account)))
}

/// Lists accounts in the order of their creation.
///
/// For owners all accounts, for managers their own and those that share a store with it.
#[access(query.store_id)]
#[utoipa::path(
    tag = "users",
    params(UserQuery),
    responses(
        (status = 200, description = "One page.", body = Page<UserOut>),
        (status = 404, description = "The store is not one of the caller's.", body = Problem),
    ),
)]
#[get("/api/users")]
pub(crate) async fn list(
    auth: Permit<permits::UsersRead>,
    state: web::Data<AppState>,
    query: ValidQuery<UserQuery>,
) -> Result<web::Json<Page<UserOut>>, ApiError> {
    let after: Option<UserId> = decode_cursor(query.cursor.as_deref())?;
    let limit = limit_or_default(query.limit);
    // One more than asked for tells whether there is another page.
    let accounts = accounts::list(
        &state,
        &auth,
        query.store_id,
        after,
        limit.saturating_add(1),
    )
    .await?;
    let page = Page::cut(accounts, limit, |account| account.id, UserOut::from);
    Ok(web::Json(page))
}

/// Reads one account.
///
/// For owners any account, for managers their own and those that share a store with it.
#[access(object)]
#[utoipa::path(
    tag = "users",
    params(("id" = UserId, Path, description = "The account.")),
    responses(
        (status = 200, description = "The account.", body = UserOut),
        (status = 404, description = "No such account, or none of the caller's.", body = Problem),
    ),
)]
#[get("/api/users/{id}")]
pub(crate) async fn read(
    auth: Permit<permits::UsersRead>,
    state: web::Data<AppState>,
    id: PathId<UserId>,
) -> Result<web::Json<UserOut>, ApiError> {
    let account = accounts::read(&state, &auth, id.0).await?;
    Ok(web::Json(account.into()))
}

/// Changes an account.
///
/// For owners. Made from an older version it is refused with 409 `version_conflict`, so repeating it
/// changes nothing. The last owner can neither be disabled nor lose the role. Emits no event.
#[access(object)]
#[utoipa::path(
    tag = "users",
    params(("id" = UserId, Path, description = "The account.")),
    request_body = UserPatch,
    responses(
        (status = 200, description = "Changed.", body = UserOut),
        (status = 403, description = "Not the caller's to give or take.", body = Problem),
        (status = 404, description = "No such account.", body = Problem),
        (status = 409, description = "Changed meanwhile, or the last owner.", body = Problem),
        (status = 422, description = "Some fields are not acceptable.", body = Problem),
    ),
)]
#[patch("/api/users/{id}")]
pub(crate) async fn change(
    auth: Permit<permits::UsersWrite>,
    state: web::Data<AppState>,
    id: PathId<UserId>,
    body: Valid<UserPatch>,
) -> Result<web::Json<UserOut>, ApiError> {
    let version = body.version;
    let changed = accounts::change(&state, &auth, id.0, version, body.0.into()).await?;
    Ok(web::Json(changed.into()))
}
