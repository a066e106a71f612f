//! `/internal/events`: where events arrive over HTTP, and the parked ones.

use actix_web::web::{self, Data, Json, ServiceConfig};
use common::auth::{Operator, ServiceIdentity};
use common::error::ApiError;
use common::extract::{Check, Faults, PathId, ValidQuery, read_body};
use common::ids::EventId;
use common::page::{Page, check_limit, limit_or_default};
use serde::{Deserialize, Serialize};

use crate::parked::{self, ParkedOut};
use crate::transport::http::{EVENTS_PATH, EventResult, Results};
use crate::{Envelope, Messaging};

/// Largest batch that is taken; a relay cuts its own at a quarter of that.
const MAX_BATCH_BYTES: usize = 8 << 20;

/// The whole route list.
pub(crate) fn configure(config: &mut ServiceConfig, messaging: &Messaging) {
    let parked = format!("{EVENTS_PATH}/parked");
    config
        .app_data(Data::new(messaging.clone()))
        .route(EVENTS_PATH, web::post().to(receive))
        .route(&parked, web::get().to(list_parked))
        .route(&format!("{parked}/{{id}}/redrive"), web::post().to(redrive));
}

#[derive(Deserialize)]
struct Batch {
    events: Vec<Envelope>,
}

/// Takes a batch of events. Services only. Repeating it has no second effect.
async fn receive(
    _caller: ServiceIdentity,
    messaging: Data<Messaging>,
    body: web::Payload,
) -> Result<Json<Results>, ApiError> {
    let body = read_body(&mut body.into_inner(), MAX_BATCH_BYTES).await?;
    let Batch { events } = serde_json::from_slice(&body)
        .map_err(|error| ApiError::malformed("malformed_batch", error.to_string()))?;
    let outcomes = messaging.intake().receive(&events).await;
    let results = events.iter().zip(outcomes);
    let results = results
        .map(|(event, outcome)| EventResult {
            id: event.id,
            outcome,
        })
        .collect();
    Ok(Json(Results { results }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParkedQuery {
    limit: Option<u32>,
    cursor: Option<String>,
}

impl Check for ParkedQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
    }
}

/// Lists parked events, oldest first. Services and system operators.
async fn list_parked(
    _caller: Operator,
    messaging: Data<Messaging>,
    query: ValidQuery<ParkedQuery>,
) -> Result<Json<Page<ParkedOut>>, ApiError> {
    let mut tx = messaging.intake().db().read().await?;
    let limit = limit_or_default(query.limit);
    parked::list(&mut tx, limit, query.cursor.as_deref())
        .await
        .map(Json)
}

#[derive(Serialize)]
struct Redriven {
    outcome: &'static str,
}

/// Tries a parked event again, now. Services and system operators.
async fn redrive(
    _caller: Operator,
    messaging: Data<Messaging>,
    id: PathId<EventId>,
) -> Result<Json<Redriven>, ApiError> {
    parked::redrive(messaging.intake(), id.0).await?;
    Ok(Json(Redriven { outcome: "done" }))
}
