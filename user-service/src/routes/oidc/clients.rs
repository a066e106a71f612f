//! `/api/users/oidc/clients`: the applications that people may let act for them.

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{HttpResponse, delete, get, patch, post, web};
use common::auth::{Permit, StoreClaim, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, Valid, ValidQuery};
use common::ids::StoreId;
use common::page::{Page, check_limit, decode_cursor, limit_or_default};
use common::time::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::account::MAX_STORES;
use crate::oidc::client::{Client, ClientId};
use crate::oidc::clients::{self, ClientChange, ClientError, ClientKind, NewClient};
use crate::oidc::redirect_uri;
use crate::oidc::scopes::{self, Scopes};
use crate::state::AppState;

const MAX_NAME_CHARACTERS: usize = 100;
const MAX_URIS: usize = 10;
const MAX_SCOPES: usize = 50;

/// An application to register.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientIn {
    /// What people are asked about, 1 to 100 characters.
    name: String,
    /// Whether it can keep a secret: a program on a server can, one on a person's machine cannot.
    confidential: bool,
    /// Where browsers are sent back to, at most 10, and at least one unless it acts for itself: https,
    /// http on this machine, or the application's own scheme. They are compared as text.
    #[serde(default)]
    #[schema(max_items = 10)]
    redirect_uris: Vec<String>,
    /// Where browsers may be sent after signing out, at most 10.
    #[serde(default)]
    #[schema(max_items = 10)]
    post_logout_redirect_uris: Vec<String>,
    /// The most that it can be given: `openid`, `profile`, `email`, `offline_access` and permissions.
    #[schema(min_items = 1, max_items = 50)]
    scopes: Vec<String>,
    /// Lets it act for itself, without a person, within its scopes. It needs a secret for that.
    #[serde(default)]
    service: Option<ServiceIn>,
}

/// How an application acts for itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceIn {
    /// In these stores, 1 to 50; in every store when left out.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 50)]
    stores: Option<Vec<StoreId>>,
}

/// How an application acts for itself.
#[derive(Serialize, ToSchema)]
pub(crate) struct ServiceOut {
    /// In these stores; absent: in every store.
    #[serde(skip_serializing_if = "Option::is_none")]
    stores: Option<Vec<StoreId>>,
}

/// What is to become different in an application.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientPatch {
    /// The version that the change was made from.
    #[schema(minimum = 1)]
    version: i64,
    /// 1 to 100 characters.
    #[serde(default)]
    name: Option<String>,
    /// All of them.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 10)]
    redirect_uris: Option<Vec<String>>,
    /// All of them.
    #[serde(default)]
    #[schema(max_items = 10)]
    post_logout_redirect_uris: Option<Vec<String>>,
    /// All of them. What was granted before stays granted until it is taken back.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 50)]
    scopes: Option<Vec<String>>,
    /// Where it acts for itself from now on.
    #[serde(default)]
    service: Option<ServiceIn>,
    /// Disabling ends every session in which the application acts for somebody.
    #[serde(default)]
    disabled: Option<bool>,
}

/// An application.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClientOut {
    /// Its client id.
    id: ClientId,
    /// What people are asked about.
    name: String,
    /// Whether it has a secret.
    confidential: bool,
    /// Where browsers are sent back to.
    redirect_uris: Vec<String>,
    /// Where browsers may be sent after signing out.
    post_logout_redirect_uris: Vec<String>,
    /// The most that it can be given.
    scopes: Vec<&'static str>,
    /// How it acts for itself, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<ServiceOut>,
    /// Whether it gets nothing.
    disabled: bool,
    /// Counts changes, from 1.
    version: i64,
    /// When it was registered.
    created_at: Timestamp,
    /// When it was changed last.
    updated_at: Timestamp,
}

/// An application with its secret, which is not shown again.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClientWithSecretOut {
    /// The application.
    #[serde(flatten)]
    client: ClientOut,
    /// Its secret, if it can keep one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Password)]
    client_secret: Option<String>,
}

/// Which applications to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ClientQuery {
    /// Page size, 1 to 200; 50 when left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// From the page before.
    #[serde(default)]
    cursor: Option<String>,
}

impl From<Client> for ClientOut {
    fn from(client: Client) -> Self {
        Self {
            id: client.id,
            confidential: client.is_confidential(),
            name: client.name,
            redirect_uris: client.redirect_uris,
            post_logout_redirect_uris: client.post_logout_redirect_uris,
            scopes: client.scopes.names(),
            service: client.service.map(|service| ServiceOut {
                stores: match service.stores {
                    StoreClaim::Only(stores) => Some(stores),
                    StoreClaim::Text(_every) => None,
                },
            }),
            disabled: client.disabled,
            version: client.version,
            created_at: client.created_at,
            updated_at: client.updated_at,
        }
    }
}

impl Check for ClientIn {
    fn check(&self, faults: &mut Faults) {
        faults.require_text(&self.name, "name", MAX_NAME_CHARACTERS);
        check_uris(&self.redirect_uris, "redirect_uris", faults);
        let some = !self.redirect_uris.is_empty() || self.service.is_some();
        faults.require(some, "redirect_uris", "empty", "at least one address");
        check_service(self.service.as_ref(), faults);
        let proved = self.confidential || self.service.is_none();
        faults.require(
            proved,
            "service",
            "not_confidential",
            "an application with a secret",
        );
        check_uris(
            &self.post_logout_redirect_uris,
            "post_logout_redirect_uris",
            faults,
        );
        check_scopes(&self.scopes, faults);
    }
}

impl Check for ClientPatch {
    fn check(&self, faults: &mut Faults) {
        let version = "a version that the application had";
        faults.require(self.version >= 1, "version", "out_of_range", version);
        if let Some(name) = &self.name {
            faults.require_text(name, "name", MAX_NAME_CHARACTERS);
        }
        if let Some(uris) = &self.redirect_uris {
            faults.require(
                !uris.is_empty(),
                "redirect_uris",
                "empty",
                "at least one address",
            );
            check_uris(uris, "redirect_uris", faults);
        }
        let post_logout = self.post_logout_redirect_uris.as_deref();
        check_uris(
            post_logout.unwrap_or_default(),
            "post_logout_redirect_uris",
            faults,
        );
        if let Some(scopes) = &self.scopes {
            check_scopes(scopes, faults);
        }
        check_service(self.service.as_ref(), faults);
    }
}

impl Check for ClientQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
    }
}

fn check_service(service: Option<&ServiceIn>, faults: &mut Faults) {
    let stores = service.and_then(|service| service.stores.as_ref());
    let few = stores.is_none_or(|stores| (1..=MAX_STORES).contains(&stores.len()));
    faults.require(few, "service.stores", "out_of_range", "1 to 50 stores");
}

fn check_uris(uris: &[String], field: &str, faults: &mut Faults) {
    faults.require(
        uris.len() <= MAX_URIS,
        field,
        "too_many",
        "at most 10 addresses",
    );
    for (position, uri) in uris.iter().enumerate().take(MAX_URIS) {
        if let Err(fault) = redirect_uri::judge(uri) {
            faults.add(
                format!("{field}[{position}]"),
                "unacceptable",
                fault.to_string(),
            );
        }
    }
}

fn check_scopes(names: &[String], faults: &mut Faults) {
    faults.require(!names.is_empty(), "scopes", "empty", "at least one scope");
    faults.require(
        names.len() <= MAX_SCOPES,
        "scopes",
        "too_many",
        "at most 50 scopes",
    );
    for (position, name) in names.iter().enumerate().take(MAX_SCOPES) {
        let known = scopes::all().any(|(known, _)| known == name);
        let field = format!("scopes[{position}]");
        faults.require(
            known,
            field,
            "unknown",
            "a scope that applications can be given",
        );
    }
}

impl From<ServiceIn> for StoreClaim {
    fn from(input: ServiceIn) -> Self {
        input.stores.map_or(Self::ALL, Self::Only)
    }
}

impl From<ClientIn> for NewClient {
    fn from(input: ClientIn) -> Self {
        Self {
            name: input.name,
            redirect_uris: input.redirect_uris,
            post_logout_redirect_uris: input.post_logout_redirect_uris,
            scopes: input.scopes.iter().collect(),
            service: input.service.map(StoreClaim::from),
            kind: match input.confidential {
                true => ClientKind::Confidential,
                false => ClientKind::Public,
            },
        }
    }
}

impl From<ClientPatch> for ClientChange {
    fn from(patch: ClientPatch) -> Self {
        Self {
            name: patch.name,
            redirect_uris: patch.redirect_uris,
            post_logout_redirect_uris: patch.post_logout_redirect_uris,
            scopes: patch.scopes.map(|names| Scopes::from_iter(&names)),
            service: patch.service.map(StoreClaim::from),
            disabled: patch.disabled,
        }
    }
}

impl From<ClientError> for ApiError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unknown => Self::not_found("application"),
            ClientError::Changed => Self::conflict(
                "version_conflict",
                "The application has changed meanwhile; read it again.",
            ),
            ClientError::NoSecret => {
                Self::conflict("no_secret", "This application cannot keep a secret.")
            }
            ClientError::Session(error) => error.into(),
        }
    }
}

fn with_secret(status: StatusCode, client: Client, secret: Option<&SecretString>) -> HttpResponse {
    let client_secret = secret.map(|secret| secret.expose_secret().to_owned());
    HttpResponse::build(status)
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((LOCATION, format!("/api/users/oidc/clients/{}", client.id)))
        .json(ClientWithSecretOut {
            client: client.into(),
            client_secret,
        })
}

/// Registers an application.
///
/// For owners. The secret is shown once. Repeating it registers another application; it takes no
/// `Idempotency-Key`, because an answer with a secret must not be kept. Emits no event.
#[access(chain)]
#[utoipa::path(
    tag = "applications",
    request_body = ClientIn,
    responses(
        (status = 201, description = "Registered.", body = ClientWithSecretOut),
        (status = 422, description = "Some fields are not acceptable.", body = Problem),
    )
)]
#[post("/api/users/oidc/clients")]
pub(crate) async fn register(
    auth: Permit<permits::ApplicationsManage>,
    state: web::Data<AppState>,
    body: Valid<ClientIn>,
) -> Result<HttpResponse, ApiError> {
    let (client, secret) = clients::register(&state, &auth, body.0.into()).await?;
    Ok(with_secret(StatusCode::CREATED, client, secret.as_ref()))
}

/// Lists applications in the order of their registration.
///
/// For owners.
#[access(chain)]
#[utoipa::path(
    tag = "applications",
    params(ClientQuery),
    responses((status = 200, description = "One page.", body = Page<ClientOut>))
)]
#[get("/api/users/oidc/clients")]
pub(crate) async fn list(
    auth: Permit<permits::ApplicationsManage>,
    state: web::Data<AppState>,
    query: ValidQuery<ClientQuery>,
) -> Result<web::Json<Page<ClientOut>>, ApiError> {
    let after: Option<ClientId> = decode_cursor(query.cursor.as_deref())?;
    let limit = limit_or_default(query.limit);
    // One more than asked for tells whether there is another page.
    let clients = clients::list(&state, &auth, after, limit.saturating_add(1)).await?;
    let page = Page::cut(clients, limit, |client| client.id, ClientOut::from);
    Ok(web::Json(page))
}

/// Reads one application.
///
/// For owners.
#[access(chain)]
#[utoipa::path(
    tag = "applications",
    params(("id" = ClientId, Path, description = "The application.")),
    responses(
        (status = 200, description = "The application.", body = ClientOut),
        (status = 404, description = "No such application.", body = Problem),
    )
)]
#[get("/api/users/oidc/clients/{id}")]
pub(crate) async fn read(
    auth: Permit<permits::ApplicationsManage>,
    state: web::Data<AppState>,
    id: PathId<ClientId>,
) -> Result<web::Json<ClientOut>, ApiError> {
    let client = clients::read(&state, &auth, id.0).await?;
    Ok(web::Json(client.into()))
}

/// Changes an application.
///
/// For owners. Tokens with which it acts for itself end with every change. Made from an older version
/// it is refused with 409 `version_conflict`, so repeating it
/// changes nothing. Emits no event.
#[access(chain)]
#[utoipa::path(
    tag = "applications",
    params(("id" = ClientId, Path, description = "The application.")),
    request_body = ClientPatch,
    responses(
        (status = 200, description = "Changed.", body = ClientOut),
        (status = 404, description = "No such application.", body = Problem),
        (status = 409, description = "Changed meanwhile.", body = Problem),
        (status = 422, description = "Some fields are not acceptable.", body = Problem),
    )
)]
#[patch("/api/users/oidc/clients/{id}")]
pub(crate) async fn change(
    auth: Permit<permits::ApplicationsManage>,
    state: web::Data<AppState>,
    id: PathId<ClientId>,
    body: Valid<ClientPatch>,
) -> Result<web::Json<ClientOut>, ApiError> {
    let version = body.version;
    let changed = clients::change(&state, &auth, id.0, version, body.0.into()).await?;
    Ok(web::Json(changed.into()))
}

/// Gives an application another secret; the one before is refused from now on.
///
/// For owners. The secret is shown once. Repeating it makes another one. Emits no event.
#[access(chain)]
#[utoipa::path(
    tag = "applications",
    params(("id" = ClientId, Path, description = "The application.")),
    responses(
        (status = 200, description = "Renewed.", body = ClientWithSecretOut),
        (status = 404, description = "No such application.", body = Problem),
        (status = 409, description = "It has no secret, or changed meanwhile.", body = Problem),
    )
)]
#[post("/api/users/oidc/clients/{id}/secret")]
pub(crate) async fn renew_secret(
    auth: Permit<permits::ApplicationsManage>,
    state: web::Data<AppState>,
    id: PathId<ClientId>,
) -> Result<HttpResponse, ApiError> {
    let (client, secret) = clients::renew_secret(&state, &auth, id.0).await?;
    Ok(with_secret(StatusCode::OK, client, Some(&secret)))
}

/// Deletes an application, with every consent and every session in which it acts for somebody.
///
/// For owners. Repeating it is answered 404. Emits no event.
#[access(chain)]
#[utoipa::path(
    tag = "applications",
    params(("id" = ClientId, Path, description = "The application.")),
    responses(
        (status = 204, description = "Deleted."),
        (status = 404, description = "No such application.", body = Problem),
    )
)]
#[delete("/api/users/oidc/clients/{id}")]
pub(crate) async fn delete(
    auth: Permit<permits::ApplicationsManage>,
    state: web::Data<AppState>,
    id: PathId<ClientId>,
) -> Result<HttpResponse, ApiError> {
    clients::delete(&state, &auth, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
