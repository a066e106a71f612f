//! `/api/users/api-keys`, and `/api/auth/token`, where a key is exchanged for a token.

use std::collections::BTreeSet;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{HttpResponse, delete, get, post, web};
use common::auth::{Permission, Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, Valid, ValidQuery};
use common::ids::StoreId;
use common::page::{Page, check_limit, decode_cursor, limit_or_default};
use common::time::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::internal::{ClientCredentialsIn, JsonOrForm};
use super::passwords::check_present;
use crate::app::api_keys::{self, NewKey};
use crate::app::reauth::Reauth;
use crate::client_address::ClientAddress;
use crate::domain::account::MAX_STORES;
use crate::domain::api_key::{ApiKey, ApiKeyId};
use crate::state::AppState;

/// Longest name, in characters.
const MAX_NAME_CHARACTERS: usize = 100;
/// Longest life of a key: a year.
const MAX_LIFE: Duration = Duration::from_secs(366 * 24 * 3_600);

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKeyIn {
    /// The caller's present password.
    #[schema(value_type = String, format = Password, max_length = 128)]
    password: SecretString,
    /// What it is for, 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What it may do, at least one, of what the caller may do.
    #[schema(min_items = 1)]
    scopes: Vec<Permission>,
    /// Where, at most 50 of the caller's stores; wherever the caller may when left out.
    #[serde(default)]
    #[schema(max_items = 50)]
    stores: Vec<StoreId>,
    /// Until when, at most 366 days from now; 90 days when left out.
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

/// A key.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApiKeyOut {
    /// Its id.
    id: ApiKeyId,
    /// What it is for.
    name: String,
    /// The part of it that is no secret; the `client_id`.
    prefix: String,
    /// What it may do, as far as its account may.
    scopes: BTreeSet<Permission>,
    /// Where; empty means wherever its account may.
    stores: BTreeSet<StoreId>,
    /// When it was made.
    created_at: Timestamp,
    /// Until when it is good.
    expires_at: Timestamp,
    /// When a token was last made with it, to the minute.
    last_used_at: Option<Timestamp>,
    /// Since when it is good for nothing.
    revoked_at: Option<Timestamp>,
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewApiKeyOut {
    /// What can be seen later as well.
    #[serde(flatten)]
    key: ApiKeyOut,
    /// The whole key, `maru_<prefix>_<secret>`, shown this once.
    secret: String,
}

/// Which keys to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ApiKeyQuery {
    /// Page size, 1 to 200; 50 when left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// From the page before.
    #[serde(default)]
    cursor: Option<String>,
}

/// A token for a key (RFC 6749, section 5.1).
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyTokenOut {
    /// The token.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds until it expires.
    expires_in: u32,
    /// What it may do, separated by blanks.
    scope: String,
}

impl From<ApiKey> for ApiKeyOut {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            prefix: key.prefix,
            scopes: key.scopes,
            stores: key.stores,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            revoked_at: key.revoked_at,
        }
    }
}

impl Check for ApiKeyIn {
    fn check(&self, faults: &mut Faults) {
        check_present(&self.password, "password", faults);
        faults.require_text(&self.name, "name", MAX_NAME_CHARACTERS);
        let some = !self.scopes.is_empty();
        faults.require(some, "scopes", "empty", "at least one scope");
        let few = self.stores.len() <= MAX_STORES;
        faults.require(few, "stores", "too_many", "at most 50 stores");
    }
}

impl Check for ApiKeyQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
    }
}

/// Makes an API key for the caller.
///
/// For owners and managers, with the password. It can do no more than the caller, within its scopes and
/// stores, and stops when the caller's account does, or when its password is reset. The secret is shown
/// once. It takes no `Idempotency-Key`: the answer must not be kept. Emits `mail.requested.v1`.
#[access(caller)]
#[utoipa::path(
    tag = "api keys",
    request_body = ApiKeyIn,
    responses(
        (status = 201, description = "Made.", body = NewApiKeyOut),
        (status = 403, description = "Not allowed, or at a terminal.", body = Problem),
        (status = 409, description = "The account has 50 keys in force.", body = Problem),
        (status = 422, description = "The password is wrong, or some fields are not acceptable.", body = Problem),
        (status = 429, description = "Too many failures; wait.", body = Problem),
    ),
)]
#[post("/api/users/api-keys")]
pub(crate) async fn create(
    auth: Permit<permits::ApiKeysWrite>,
    state: web::Data<AppState>,
    address: ClientAddress,
    body: Valid<ApiKeyIn>,
) -> Result<HttpResponse, ApiError> {
    let Valid(wanted) = body;
    let now = state.clock.now();
    let expires_at = wanted.expires_at.unwrap_or(now.plus(MAX_LIFE / 4));
    let mut faults = Faults::default();
    let in_time = now < expires_at && expires_at <= now.plus(MAX_LIFE);
    let detail = "within the next 366 days";
    faults.require(in_time, "expires_at", "out_of_range", detail);
    faults.into_result()?;
    let new = NewKey {
        name: wanted.name,
        scopes: wanted.scopes.into_iter().collect(),
        stores: wanted.stores.into_iter().collect(),
        expires_at,
    };
    let password = wanted.password;
    let reauth = Reauth { password, address };
    let (key, secret) = api_keys::create(&state, &auth, reauth, new).await?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/api/users/api-keys/{}", key.id)))
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(NewApiKeyOut {
            key: key.into(),
            secret: secret.expose_secret().to_owned(),
        }))
}

/// Lists the caller's API keys, newest first, revoked ones too.
///
/// For owners and managers.
#[access(caller)]
#[utoipa::path(
    tag = "api keys",
    params(ApiKeyQuery),
    responses((status = 200, description = "One page.", body = Page<ApiKeyOut>)),
)]
#[get("/api/users/api-keys")]
pub(crate) async fn list(
    auth: Permit<permits::ApiKeysWrite>,
    state: web::Data<AppState>,
    query: ValidQuery<ApiKeyQuery>,
) -> Result<web::Json<Page<ApiKeyOut>>, ApiError> {
    let before: Option<ApiKeyId> = decode_cursor(query.cursor.as_deref())?;
    let limit = limit_or_default(query.limit);
    let keys = api_keys::list(&state, &auth, before, limit.saturating_add(1)).await?;
    let page = Page::cut(keys, limit, |key| key.id, ApiKeyOut::from);
    Ok(web::Json(page))
}

/// Revokes one of the caller's API keys.
///
/// For owners and managers. Tokens made with it are refused everywhere within seconds. One that is not
/// the caller's, or never was, is as good as revoked. Repeating it changes nothing. Emits no event.
#[access(caller)]
#[utoipa::path(
    tag = "api keys",
    params(("id" = ApiKeyId, Path, description = "The key.")),
    responses(
        (status = 204, description = "Revoked."),
        (status = 404, description = "Not an id.", body = Problem),
    ),
)]
#[delete("/api/users/api-keys/{id}")]
pub(crate) async fn revoke(
    auth: Permit<permits::ApiKeysWrite>,
    state: web::Data<AppState>,
    id: PathId<ApiKeyId>,
) -> Result<HttpResponse, ApiError> {
    api_keys::revoke(&state, &auth, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Exchanges an API key for a token to call with (RFC 6749, section 4.4).
///
/// For programs: `client_id` is the key's prefix, `client_secret` what follows it. Emits no event.
#[access(public)]
#[utoipa::path(
    tag = "auth",
    request_body(content(
        (ClientCredentialsIn = "application/json"),
        (ClientCredentialsIn = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 200, description = "The token.", body = KeyTokenOut),
        (status = 401, description = "Not a key in force.", body = Problem),
    ),
)]
#[post("/api/auth/token")]
pub(crate) async fn exchange(
    state: web::Data<AppState>,
    body: JsonOrForm,
) -> Result<HttpResponse, ApiError> {
    let JsonOrForm(asked) = body;
    let exchanged = api_keys::exchange(&state, &asked.client_id, &asked.client_secret).await;
    let (minted, scope) = exchanged?;
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(KeyTokenOut {
            access_token: minted.expose().to_owned(),
            token_type: "Bearer",
            expires_in: minted.expires_in_seconds,
            scope,
        }))
}
