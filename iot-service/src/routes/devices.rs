//! Devices.

use ::store::Tx;
use actix_web::{HttpResponse, get, post, web};
use common::auth::{Permit, Principal, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, Valid, ValidQuery};
use common::ids::{DeviceId, StoreId};
use common::page::{Page, check_limit, decode_cursor, limit_or_default};
use common::time::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::app::AppState;
use crate::app::credentials::{hash, new_password};
use crate::domain::kind::DeviceKind;
use crate::domain::topic::Place;
use crate::store::devices::{self, DeviceRow};

/// A device to register.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceIn {
    /// Chosen by the client, or made here when absent.
    #[serde(default)]
    id: Option<DeviceId>,
    store_id: StoreId,
    /// 1 to 100 characters.
    name: String,
    kind: DeviceKind,
}

impl Check for DeviceIn {
    fn check(&self, faults: &mut Faults) {
        faults.require_text(&self.name, "name", 100);
    }
}

/// A device.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DeviceOut {
    id: DeviceId,
    store_id: StoreId,
    name: String,
    /// `fridge`, `freezer`, `hvac` or `energy_meter`.
    kind: String,
    created_at: Timestamp,
}

impl From<DeviceRow> for DeviceOut {
    fn from(row: DeviceRow) -> Self {
        Self {
            id: row.id,
            store_id: row.store_id,
            name: row.name,
            kind: row.kind,
            created_at: row.created_at,
        }
    }
}

/// How a device connects. The password is shown this once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MqttOut {
    /// Its user name and its client id.
    username: String,
    password: String,
    /// Where it publishes its readings, with QoS 1.
    topic: String,
}

/// A registered device and how it connects.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RegisteredOut {
    #[serde(flatten)]
    device: DeviceOut,
    mqtt: MqttOut,
}

fn registered(row: DeviceRow, password: &SecretString) -> RegisteredOut {
    let place = Place {
        store: row.store_id,
        device: row.id,
    };
    let mqtt = MqttOut {
        username: row.id.to_string(),
        password: password.expose_secret().to_owned(),
        topic: place.telemetry(),
    };
    RegisteredOut {
        device: row.into(),
        mqtt,
    }
}

/// Registers a device. An id that is taken gives 409. Needs the permission `DevicesWrite` in the
/// store.
#[access(body.store_id)]
#[utoipa::path(
    tag = "devices", request_body = DeviceIn,
    responses((status = 201, body = RegisteredOut), (status = 409, body = Problem), (status = 422, body = Problem))
)]
#[post("/api/iot/devices")]
pub(crate) async fn create(
    auth: Permit<permits::DevicesWrite>,
    state: web::Data<AppState>,
    body: Valid<DeviceIn>,
) -> Result<HttpResponse, ApiError> {
    auth.require_store(body.store_id)?;
    let password = new_password().map_err(ApiError::internal)?;
    let row = DeviceRow {
        id: body.id.unwrap_or_else(|| DeviceId::new(&state.clock)),
        store_id: body.store_id,
        name: body.0.name,
        kind: body.0.kind.as_str().to_owned(),
        password_sha256: hash(&password),
        created_at: state.clock.now(),
    };
    let mut tx = state.db.begin().await?;
    if !devices::insert(&mut tx, &row).await? {
        return Err(ApiError::conflict(
            "already_exists",
            "A device has this id already.",
        ));
    }
    tx.commit().await?;
    Ok(HttpResponse::Created().json(registered(row, &password)))
}

/// The device, if it is in one of the caller's stores.
pub(super) async fn require_device(
    tx: &mut Tx,
    caller: &Principal,
    id: DeviceId,
) -> Result<DeviceRow, ApiError> {
    let row = devices::find(tx, id).await?;
    let own = row.filter(|row| caller.stores.contains(row.store_id));
    own.ok_or_else(|| ApiError::not_found("device"))
}

/// Gives a device a new password; the old one is void, and the inner broker ends the connections that
/// it opened. Needs the permission `DevicesWrite` in the device's store.
#[access(object)]
#[utoipa::path(
    tag = "devices", params(("id" = DeviceId, Path)),
    responses((status = 200, body = RegisteredOut), (status = 404, body = Problem))
)]
#[post("/api/iot/devices/{id}/credentials")]
pub(crate) async fn renew_credentials(
    auth: Permit<permits::DevicesWrite>,
    state: web::Data<AppState>,
    id: PathId<DeviceId>,
) -> Result<HttpResponse, ApiError> {
    let password = new_password().map_err(ApiError::internal)?;
    let mut tx = state.db.begin().await?;
    let row = require_device(&mut tx, &auth, id.0).await?;
    devices::update_password(&mut tx, row.id, &hash(&password)).await?;
    tx.commit().await?;
    state.connections.end_of(row.id);
    Ok(HttpResponse::Ok().json(registered(row, &password)))
}

/// A device. Needs the permission `DevicesRead` in its store.
#[access(object)]
#[utoipa::path(
    tag = "devices", params(("id" = DeviceId, Path)),
    responses((status = 200, body = DeviceOut), (status = 404, body = Problem))
)]
#[get("/api/iot/devices/{id}")]
pub(crate) async fn read(
    auth: Permit<permits::DevicesRead>,
    state: web::Data<AppState>,
    id: PathId<DeviceId>,
) -> Result<HttpResponse, ApiError> {
    let mut tx = state.db.read().await?;
    let row = require_device(&mut tx, &auth, id.0).await?;
    Ok(HttpResponse::Ok().json(DeviceOut::from(row)))
}

/// Which devices.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DevicesQuery {
    /// Of this store only. Needed from accounts that have several stores, but not all.
    store_id: Option<StoreId>,
    /// From 1 to 200; 50 when absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl Check for DevicesQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
    }
}

/// Devices by id. Needs the permission `DevicesRead`.
#[access(query.store_id)]
#[utoipa::path(
    tag = "devices", params(DevicesQuery),
    responses((status = 200, body = Page<DeviceOut>), (status = 404, body = Problem))
)]
#[get("/api/iot/devices")]
pub(crate) async fn list(
    auth: Permit<permits::DevicesRead>,
    state: web::Data<AppState>,
    query: ValidQuery<DevicesQuery>,
) -> Result<HttpResponse, ApiError> {
    let store = auth.one_store_or_all(query.store_id)?;
    let limit = limit_or_default(query.limit);
    let after = decode_cursor::<DeviceId>(query.cursor.as_deref())?;
    let mut tx = state.db.read().await?;
    let rows = devices::list(&mut tx, store, after, i64::from(limit) + 1).await?;
    let page = Page::cut(rows, limit, |row| row.id, DeviceOut::from);
    Ok(HttpResponse::Ok().json(page))
}
