//! Places an order: prices it, makes it durable together with the intent of its saga's first
//! steps, and starts the saga.

use std::sync::Arc;

use ::store::idempotency::{self, IdempotencyRequest, Outcome};
use common::context::RequestContext;
use common::ids::{OrderId, StoreId};
use common::time::Timestamp;
use contracts::events::OrderOrigin;
use tokio::sync::oneshot;

use crate::app::AppState;
use crate::domain::order::{Cancellation, Channel, Order, Status};
use crate::domain::payment::Payment;
use crate::domain::pricing::{self, Priced, Wanted};
use crate::domain::saga::Saga;
use crate::domain::site::Site;
use crate::error::UseCaseError;
use crate::sagas::driver::Work;
use crate::sagas::write::CREATED;
use crate::store::sagas::{RequestOrigin, StoredSaga};
use crate::store::{menu, orders, sagas};
use crate::wire::OrderOut;

/// What a client orders.
#[derive(Clone, Debug)]
pub(crate) struct NewOrder {
    pub(crate) store_id: StoreId,
    pub(crate) channel: Channel,
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) payment: Payment,
}

/// Who orders, under which key.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) request: IdempotencyRequest,
    pub(crate) caller: String,
    pub(crate) idempotency_key: String,
}

/// What became of the request.
pub(crate) enum Placement {
    /// It was answered before, with this.
    Answered { body: serde_json::Value },
    /// The same request placed an order that is still pending.
    Pending(Order),
    /// The order exists now. The receiver gets it when it reaches its final state; closed, somebody
    /// else goes on with it.
    Begun {
        order: Order,
        ended: oneshot::Receiver<Order>,
    },
}

/// Places the order, once for each key.
///
/// The key's first answer that is final (the order confirmed or cancelled) is remembered and
/// repeated for ever. Until there is one, a repeated request is answered 409 while the first one
/// is waiting for its answer, and with the pending order after that.
///
/// It does not end with the request: a client that hangs up gets its order nonetheless.
pub(crate) async fn place_order(
    app: &AppState,
    asked: Asked,
    new: NewOrder,
) -> Result<Placement, UseCaseError> {
    let context = RequestContext::current().unwrap_or_else(RequestContext::background);
    let (task, scope) = (app.clone(), context.clone());
    let placing = async move { place(&task, asked, new, context).await };
    let placed = app
        .driver
        .tasks
        .spawn_on(scope.scope(placing), &app.driver.runtime);
    placed.await.map_err(|_cancelled| UseCaseError::Stopping)?
}

async fn place(
    app: &AppState,
    asked: Asked,
    new: NewOrder,
    context: RequestContext,
) -> Result<Placement, UseCaseError> {
    let site = app.site(new.store_id).await?;
    let priced = price(app, &site, &new).await?;

    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    match idempotency::begin(&mut tx, &asked.request, now).await? {
        Outcome::Fresh => {}
        Outcome::InFlight => return answer_repeated(app, tx, &asked, now).await,
        replay => {
            let replay = replay.into_replay().map_err(UseCaseError::Idempotency)?;
            let body = replay.map(|(_, body)| body).unwrap_or_default();
            return Ok(Placement::Answered { body });
        }
    }
    // The key comes first: a repeated request is answered as the first one was, even if its lines
    // could not be sold any more.
    let order = new_order(app, &site, &new, priced?, now);
    let stored = new_saga(app, &order, &new, (&asked, &context), now);
    if orders::insert_orders(&mut tx, std::slice::from_ref(&order)).await? != 1 {
        let fault = format!("order {} exists already", order.id);
        return Err(UseCaseError::Inconsistent(fault));
    }
    sagas::insert_saga(&mut tx, order.id, &stored, now).await?;
    tx.commit().await?;

    let work = Work {
        order: order.clone(),
        stored,
        steps: Vec::new(),
        answer_to: Some(asked.request),
    };
    let ended = app.driver.spawn(work, context);
    Ok(Placement::Begun { order, ended })
}

/// Looks the prices up. What is wrong with the lines comes back inside, for later.
async fn price(
    app: &AppState,
    site: &Arc<Site>,
    new: &NewOrder,
) -> Result<Result<Priced, UseCaseError>, UseCaseError> {
    let mut tx = app.db.read().await?;
    let ids = new.wanted.iter().map(|wanted| wanted.item_id);
    let items = menu::find_items(&mut tx, ids).await?;
    let priced = pricing::price(&new.wanted, &items, site.currency);
    Ok(priced.map_err(UseCaseError::Lines))
}

fn new_order(app: &AppState, site: &Site, new: &NewOrder, priced: Priced, now: Timestamp) -> Order {
    let local_time = site.local_time(now);
    Order {
        id: OrderId::new(&app.clock),
        store_id: site.id,
        channel: new.channel,
        status: Status::Pending,
        cancel_reason: None,
        origin: OrderOrigin::Live,
        placed_at: now,
        local_time,
        business_date: site.business_date(local_time),
        lines: priced.lines,
        total: priced.total,
        method: Some(new.payment.method),
        external: None,
        created_at: now,
        closed_at: None,
        confirmed_at: None,
        cancellation: Cancellation::default(),
    }
}

fn new_saga(
    app: &AppState,
    order: &Order,
    new: &NewOrder,
    (asked, context): (&Asked, &RequestContext),
    now: Timestamp,
) -> StoredSaga {
    let settings = &app.driver.settings;
    StoredSaga {
        saga: Saga::new(now, settings.forward_deadline(), order.is_free()),
        version: 1,
        steps_logged: 0,
        next_attempt_at: Some(now),
        leased_until: Some(now.plus(settings.lease())),
        parked_at: None,
        token: new.payment.token.clone().filter(|_| !order.is_free()),
        origin: RequestOrigin {
            caller: asked.caller.clone(),
            idempotency_key: asked.idempotency_key.clone(),
            request_id: context.request_id.clone(),
            traceparent: context.traceparent.clone(),
        },
    }
}

/// The key was claimed and has no final answer: its order is under way, or it ended without the
/// request that placed it, as after a crash.
async fn answer_repeated(
    app: &AppState,
    mut tx: ::store::Tx,
    asked: &Asked,
    now: Timestamp,
) -> Result<Placement, UseCaseError> {
    let id = sagas::find_by_request(&mut tx, &asked.caller, &asked.idempotency_key).await?;
    let order = match id {
        Some(id) => orders::find_order(&mut tx, id).await?,
        None => None,
    };
    let order = order.ok_or(UseCaseError::InFlight)?;
    if order.status != Status::Pending {
        let body = OrderOut::from(&order);
        idempotency::finish(&mut tx, &asked.request, CREATED, &body).await?;
        tx.commit().await?;
        let body = serde_json::to_value(body).map_err(UseCaseError::Unhashable)?;
        return Ok(Placement::Answered { body });
    }
    if now.since(order.created_at) < app.orders.answer_within() {
        return Err(UseCaseError::InFlight);
    }
    Ok(Placement::Pending(order))
}
