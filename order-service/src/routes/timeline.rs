//! `GET /api/orders/{id}/timeline`.

use actix_web::{HttpResponse, get, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::PathId;
use common::ids::OrderId;
use common::time::Timestamp;
use serde::Serialize;

use crate::app::AppState;
use crate::app::timeline::{Entry, Timeline, timeline};
use crate::domain::order::Status;
use crate::store::sagas::StoredSaga;

/// Why an order is where it is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TimelineOut {
    order_id: OrderId,
    status: Status,
    /// What is being done now; absent when nothing is left to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    under_way: Option<UnderWayOut>,
    /// Oldest first.
    entries: Vec<EntryOut>,
}

/// The step that an unfinished saga is at.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct UnderWayOut {
    /// `reserve`, `authorize`, `commit`, `capture`, `void`, `release` or `restock`.
    step: String,
    /// Number of the attempt that is under way or next.
    attempt: u32,
    /// When it is due.
    next_attempt_at: Timestamp,
    /// Since when it has failed so often that a person should look.
    #[serde(skip_serializing_if = "Option::is_none")]
    parked_at: Option<Timestamp>,
}

/// Something that happened.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct EntryOut {
    at: Timestamp,
    /// A step of the saga, or `placed`, `imported`, `confirmed`, `cancelled`,
    /// `cancellation_requested`, `refunded`, `restocked`, `parked`.
    step: String,
    /// From 1, for steps of the saga.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<i64>,
    /// `done`, `refused`, `rejected`, `unclear` or `already_committed`.
    outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Microseconds from the command to its answer, for steps of the saga.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_us: Option<u64>,
}

impl From<Entry> for EntryOut {
    fn from(entry: Entry) -> Self {
        match entry {
            Entry::Step(step) => {
                let duration = step.ended_at.since(step.started_at);
                Self {
                    at: step.started_at,
                    step: step.step,
                    attempt: Some(step.attempt),
                    outcome: step.outcome,
                    detail: step.detail,
                    duration_us: u64::try_from(duration.as_micros()).ok(),
                }
            }
            Entry::Event(name, at, detail) => Self {
                at,
                step: name.to_owned(),
                attempt: None,
                outcome: "done".to_owned(),
                detail,
                duration_us: None,
            },
        }
    }
}

impl From<Timeline> for TimelineOut {
    fn from(timeline: Timeline) -> Self {
        Self {
            order_id: timeline.order.id,
            status: timeline.order.status,
            under_way: timeline.saga.as_ref().and_then(under_way),
            entries: timeline.entries.into_iter().map(EntryOut::from).collect(),
        }
    }
}

/// The step that an unfinished saga is at.
pub(super) fn under_way(stored: &StoredSaga) -> Option<UnderWayOut> {
    let (step, attempt) = stored.saga.current()?;
    Some(UnderWayOut {
        step: step.to_owned(),
        attempt,
        next_attempt_at: stored.next_attempt_at?,
        parked_at: stored.parked_at,
    })
}

/// Every step of an order's saga with its time, attempt and outcome, and what happened to the order
/// besides. Needs the permission `OrdersRead`.
#[access(object)]
#[utoipa::path(
    tag = "orders", params(("id" = OrderId, Path)),
    responses((status = 200, body = TimelineOut), (status = 404, body = Problem))
)]
#[get("/api/orders/{id}/timeline")]
pub(crate) async fn read(
    auth: Permit<permits::OrdersRead>,
    state: web::Data<AppState>,
    id: PathId<OrderId>,
) -> Result<HttpResponse, ApiError> {
    let timeline = timeline(&state, &auth, id.0).await?;
    Ok(HttpResponse::Ok().json(TimelineOut::from(timeline)))
}
