//! `/internal/events`: where events arrive over HTTP, and the parked ones.

use actix_web::web::{self, Data, Json};
use actix_web::{HttpRequest, get, post};
use common::auth::{Operator, ServiceIdentity, access};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, ValidQuery, read_body, require_json};
use common::ids::EventId;
use common::page::{Page, check_limit, limit_or_default};
use common::server::ServiceConfig;
use serde::{Deserialize, Serialize};

use crate::envelope::source_of;
use crate::parked::{self, ParkedOut};
use crate::transport::http::{EventResult, Results};
use crate::{Envelope, Messaging};

/// Largest batch that is taken; a relay cuts its own at a quarter of that.
const MAX_BATCH_BYTES: usize = 8 << 20;

/// The whole route list.
pub(crate) fn configure(config: &mut ServiceConfig<'_>, messaging: &Messaging) {
    config
        .app_data(Data::new(messaging.clone()))
        .service(receive)
        .service(list_parked)
        .service(redrive);
}

/// Events to take.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Batch {
    events: Vec<Envelope>,
}

/// Takes a batch of events.
///
/// Services only, and each tells only of what is its own. Repeating it has no second effect.
#[access(chain)]
#[utoipa::path(
    tag = "internal", request_body = Batch,
    responses(
        (status = 200, body = Results),
        (status = 400, body = Problem),
        (status = 403, description = "An event of another service.", body = Problem),
    )
)]
#[post("/internal/events")]
async fn receive(
    caller: ServiceIdentity,
    messaging: Data<Messaging>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<Json<Results>, ApiError> {
    require_json(&request)?;
    let body = read_body(&mut body.into_inner(), MAX_BATCH_BYTES).await?;
    let Batch { events } = serde_json::from_slice(&body)
        .map_err(|error| ApiError::malformed("malformed_batch", error.to_string()))?;
    let source = source_of(&caller.name);
    let is_own = |event: &Envelope| {
        event.source == source && contracts::is_told_by(&event.r#type, &caller.name)
    };
    if !events.iter().all(is_own) {
        return Err(ApiError::forbidden());
    }
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

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ParkedQuery {
    /// Entries of a page; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl Check for ParkedQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
    }
}

/// Lists parked events, oldest first. Services and system operators.
#[access(chain)]
#[utoipa::path(
    tag = "internal", params(ParkedQuery),
    responses((status = 200, body = Page<ParkedOut>), (status = 422, body = Problem))
)]
#[get("/internal/events/parked")]
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

/// What became of a parked event that was tried again.
#[derive(Serialize, utoipa::ToSchema)]
struct Redriven {
    outcome: &'static str,
}

/// Tries a parked event again, now. Services and system operators.
#[access(chain)]
#[utoipa::path(
    tag = "internal", params(("id" = EventId, Path)),
    responses((status = 200, body = Redriven), (status = 404, body = Problem),
              (status = 409, body = Problem))
)]
#[post("/internal/events/parked/{id}/redrive")]
async fn redrive(
    _caller: Operator,
    messaging: Data<Messaging>,
    id: PathId<EventId>,
) -> Result<Json<Redriven>, ApiError> {
    parked::redrive(messaging.intake(), id.0).await?;
    Ok(Json(Redriven { outcome: "done" }))
}
