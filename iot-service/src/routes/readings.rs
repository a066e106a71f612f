//! What devices measured.

use actix_web::{HttpResponse, get, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, ValidQuery};
use common::ids::DeviceId;
use common::page::{Page, check_limit, decode_cursor, limit_or_default};
use common::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::devices::require_device;
use crate::app::AppState;
use crate::domain::message::is_metric;
use crate::store::readings::{self, ReadingRow, Selection};

/// Which readings.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReadingsQuery {
    /// Of this metric only, such as `temperature_c`.
    metric: Option<String>,
    /// Measured at or after.
    from: Option<Timestamp>,
    /// Measured before.
    to: Option<Timestamp>,
    /// From 1 to 200; 50 when absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl Check for ReadingsQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
        let metric = self.metric.as_deref().is_none_or(is_metric);
        faults.require(
            metric,
            "metric",
            "malformed",
            "lower-case letters, digits, underscores",
        );
        let ordered = self.from.zip(self.to).is_none_or(|(from, to)| from <= to);
        faults.require(ordered, "to", "before_from", "must not be before from");
    }
}

/// One measured value.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ReadingOut {
    /// With its unit, such as `temperature_c` or `energy_wh`.
    metric: String,
    value: f64,
    /// By the device's clock.
    measured_at: Timestamp,
    /// When it was stored.
    received_at: Timestamp,
}

impl From<ReadingRow> for ReadingOut {
    fn from(row: ReadingRow) -> Self {
        Self {
            metric: row.metric,
            value: row.value,
            measured_at: row.measured_at,
            received_at: row.received_at,
        }
    }
}

/// A device's readings, newest first. Needs the permission `DevicesRead` in its store.
#[access(object)]
#[utoipa::path(
    tag = "readings", params(("id" = DeviceId, Path), ReadingsQuery),
    responses((status = 200, body = Page<ReadingOut>), (status = 404, body = Problem))
)]
#[get("/api/iot/devices/{id}/readings")]
pub(crate) async fn list(
    auth: Permit<permits::DevicesRead>,
    state: web::Data<AppState>,
    id: PathId<DeviceId>,
    query: ValidQuery<ReadingsQuery>,
) -> Result<HttpResponse, ApiError> {
    let limit = limit_or_default(query.limit);
    let before = decode_cursor::<(Timestamp, String)>(query.cursor.as_deref())?;
    let query = query.0;
    let mut tx = state.db.read().await?;
    let device = require_device(&mut tx, &auth, id.0).await?.id;
    let selection = Selection {
        device,
        metric: query.metric,
        from: query.from,
        to: query.to,
    };
    let rows = readings::list(&mut tx, &selection, before, i64::from(limit) + 1).await?;
    let position = |row: &ReadingRow| (row.measured_at, row.metric.clone());
    Ok(HttpResponse::Ok().json(Page::cut(rows, limit, position, ReadingOut::from)))
}

/// The newest value of each metric.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LatestOut {
    /// By metric.
    items: Vec<ReadingOut>,
}

/// The newest reading of each of a device's metrics. Needs the permission `DevicesRead` in its
/// store.
#[access(object)]
#[utoipa::path(
    tag = "readings", params(("id" = DeviceId, Path)),
    responses((status = 200, body = LatestOut), (status = 404, body = Problem))
)]
#[get("/api/iot/devices/{id}/latest")]
pub(crate) async fn latest(
    auth: Permit<permits::DevicesRead>,
    state: web::Data<AppState>,
    id: PathId<DeviceId>,
) -> Result<HttpResponse, ApiError> {
    let mut tx = state.db.read().await?;
    let device = require_device(&mut tx, &auth, id.0).await?;
    let rows = readings::list_latest(&mut tx, device.id).await?;
    let items = rows.into_iter().map(ReadingOut::from).collect();
    Ok(HttpResponse::Ok().json(LatestOut { items }))
}
