//! Places an order: prices it, makes it durable together with the intent of its saga's first
//! steps, and starts the saga.

use ::store::idempotency::IdempotencyRequest;
use common::context::RequestContext;
use common::ids::StoreId;
use tokio::sync::oneshot;

use crate::app::AppState;
use crate::domain::order::{Channel, Order};
use crate::domain::payment::Payment;
use crate::domain::pricing::Wanted;
use crate::error::UseCaseError;
use crate::sagas::driver::Work;

mod batch;

pub(crate) use batch::PlaceOrders;
use batch::{Placed, Request};

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
    let answer_to = Some(asked.request.clone());
    let request = Request {
        asked,
        new,
        site,
        context: context.clone(),
    };
    let (order, stored) = match app.placing.run(request).await? {
        Placed::Answered { body } => return Ok(Placement::Answered { body }),
        Placed::Pending(order) => return Ok(Placement::Pending(*order)),
        Placed::New(new) => *new,
    };
    let work = Work {
        order: order.clone(),
        stored,
        steps: Vec::new(),
        answer_to,
    };
    let ended = app.driver.spawn(work, context);
    Ok(Placement::Begun { order, ended })
}
