//! Everything that happened to an order, in order: why it is where it is.

use common::auth::Principal;
use common::ids::OrderId;
use common::time::Timestamp;
use contracts::events::OrderOrigin;

use crate::app::{AppState, visible};
use crate::domain::order::{Order, Status};
use crate::error::UseCaseError;
use crate::store::sagas::{StepRow, StoredSaga};
use crate::store::{orders, sagas};

/// An order's history and present.
pub(crate) struct Timeline {
    pub(crate) order: Order,
    /// `None` for an imported order.
    pub(crate) saga: Option<StoredSaga>,
    pub(crate) entries: Vec<Entry>,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// One attempt at a step of the saga.
    Step(StepRow),
    /// Something else, by its name.
    Event(&'static str, Timestamp, Option<String>),
}

impl Entry {
    const fn at(&self) -> Timestamp {
        match self {
            Self::Step(step) => step.started_at,
            Self::Event(_, at, _) => *at,
        }
    }
}

/// The history of an order of one of the caller's stores.
pub(crate) async fn timeline(
    app: &AppState,
    caller: &Principal,
    id: OrderId,
) -> Result<Timeline, UseCaseError> {
    let mut tx = app.db.read().await?;
    let order = orders::find_order(&mut tx, id).await?;
    let order = visible(caller, order).ok_or(UseCaseError::UnknownOrder(id))?;
    let saga = sagas::find_saga(&mut tx, &order).await?;
    let steps = sagas::list_steps(&mut tx, id).await?;
    let mut entries = events(&order, saga.as_ref());
    entries.extend(steps.into_iter().map(Entry::Step));
    // Stable: what has the same time keeps the order in which it can only have happened.
    entries.sort_by_key(Entry::at);
    Ok(Timeline {
        order,
        saga,
        entries,
    })
}

fn events(order: &Order, saga: Option<&StoredSaga>) -> Vec<Entry> {
    let first = match order.origin {
        OrderOrigin::Live => "placed",
        OrderOrigin::Imported => "imported",
    };
    let reason = || order.cancel_reason.clone();
    let never_confirmed = order.confirmed_at.is_none();
    let given_up = order
        .closed_at
        .filter(|_| order.status == Status::Cancelled && never_confirmed);
    let closed = order
        .closed_at
        .filter(|_| order.status == Status::Cancelled && !never_confirmed);
    let cancellation = &order.cancellation;
    let live_confirmed = order
        .confirmed_at
        .filter(|_| order.origin == OrderOrigin::Live);
    let candidates = [
        (first, Some(order.created_at), None),
        ("parked", saga.and_then(|stored| stored.parked_at), None),
        ("confirmed", live_confirmed, None),
        ("cancelled", given_up, reason()),
        (
            "cancellation_requested",
            cancellation.requested_at,
            reason(),
        ),
        ("refunded", cancellation.refunded_at, None),
        ("restocked", cancellation.restocked_at, None),
        ("cancelled", closed, None),
    ];
    let happened = candidates.into_iter();
    happened
        .filter_map(|(name, at, detail)| Some(Entry::Event(name, at?, detail)))
        .collect()
}
