//! `/api/users/devices`: terminals at which people of a store take turns.

use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{HttpResponse, delete, get, post, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, Valid, ValidQuery};
use common::ids::{StoreId, UserId};
use common::page::{Page, check_limit, decode_cursor, limit_or_default};
use common::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::devices;
use crate::domain::device::{MAX_DEVICE_NAME_CHARACTERS, PosDevice, PosDeviceId};
use crate::state::AppState;

/// A terminal to register.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceIn {
    /// Where it stands: one of the caller's stores.
    store_id: StoreId,
    /// 1 to 60 characters.
    #[schema(min_length = 1, max_length = 60, example = "Till 2")]
    name: String,
}

/// A registered terminal.
#[derive(Serialize, ToSchema)]
pub(crate) struct PosDeviceOut {
    /// Its id.
    id: PosDeviceId,
    /// Where it stands.
    store_id: StoreId,
    /// What people call it.
    name: String,
    /// Who registered it.
    registered_by: UserId,
    /// When.
    created_at: Timestamp,
    /// When somebody signed in at it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Timestamp>,
    /// When its rights were taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
}

/// A terminal that was registered just now.
#[derive(Serialize, ToSchema)]
pub(crate) struct RegisteredOut {
    /// The terminal.
    #[serde(flatten)]
    device: PosDeviceOut,
    /// What it proves itself with, in `X-Device-Token`; shown this once.
    device_token: String,
}

/// Which terminals to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeviceQuery {
    /// Page size, 1 to 200; 50 when left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// From the page before.
    #[serde(default)]
    cursor: Option<String>,
}

impl From<PosDevice> for PosDeviceOut {
    fn from(device: PosDevice) -> Self {
        Self {
            id: device.id,
            store_id: device.store_id,
            name: device.name,
            registered_by: device.registered_by,
            created_at: device.created_at,
            last_used_at: device.last_used_at,
            revoked_at: device.revoked_at,
        }
    }
}

impl Check for DeviceIn {
    fn check(&self, faults: &mut Faults) {
        faults.require_text(&self.name, "name", MAX_DEVICE_NAME_CHARACTERS);
    }
}

impl Check for DeviceQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
    }
}

/// Registers a terminal of a store; its token is shown this once.
///
/// For owners and managers, the latter in their own stores. It takes no `Idempotency-Key`, because an
/// answer with a token must not be kept: one whose answer was lost is revoked and registered anew.
/// Emits no event.
#[access(body.store_id)]
#[utoipa::path(
    tag = "users",
    request_body = DeviceIn,
    responses(
        (status = 201, description = "Registered.", body = RegisteredOut),
        (status = 404, description = "The store is not one of the caller's.", body = Problem),
        (status = 422, description = "Some fields are not acceptable.", body = Problem),
    ),
)]
#[post("/api/users/devices")]
pub(crate) async fn register(
    auth: Permit<permits::TerminalsWrite>,
    state: web::Data<AppState>,
    body: Valid<DeviceIn>,
) -> Result<HttpResponse, ApiError> {
    let DeviceIn { store_id, name } = body.0;
    let (device, token) = devices::register(&state, &auth, store_id, name).await?;
    Ok(HttpResponse::Created()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((LOCATION, format!("/api/users/devices/{}", device.id)))
        .json(RegisteredOut {
            device: device.into(),
            device_token: token.expose().to_owned(),
        }))
}

/// Lists terminals in the order of their registration, revoked ones included.
///
/// For owners all, for managers those of their own stores.
#[access(caller)]
#[utoipa::path(
    tag = "users",
    params(DeviceQuery),
    responses((status = 200, description = "One page.", body = Page<PosDeviceOut>)),
)]
#[get("/api/users/devices")]
pub(crate) async fn list(
    auth: Permit<permits::TerminalsWrite>,
    state: web::Data<AppState>,
    query: ValidQuery<DeviceQuery>,
) -> Result<web::Json<Page<PosDeviceOut>>, ApiError> {
    let after: Option<PosDeviceId> = decode_cursor(query.cursor.as_deref())?;
    let limit = limit_or_default(query.limit);
    let rows = devices::list(&state, &auth, after, limit.saturating_add(1)).await?;
    Ok(web::Json(Page::cut(
        rows,
        limit,
        |row| row.id,
        PosDeviceOut::from,
    )))
}

/// Revokes a terminal and ends the sessions opened at it.
///
/// For owners any, for managers those of their own stores. Repeating it changes nothing. Emits no
/// event.
#[access(object)]
#[utoipa::path(
    tag = "users",
    params(("id" = PosDeviceId, Path, description = "The terminal.")),
    responses(
        (status = 204, description = "Revoked."),
        (status = 404, description = "No such terminal, or none of the caller's.", body = Problem),
    ),
)]
#[delete("/api/users/devices/{id}")]
pub(crate) async fn revoke(
    auth: Permit<permits::TerminalsWrite>,
    state: web::Data<AppState>,
    id: PathId<PosDeviceId>,
) -> Result<HttpResponse, ApiError> {
    devices::revoke(&state, &auth, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
