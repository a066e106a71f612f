//! Orders that are placed at the same time become durable in one transaction.

use std::sync::Arc;

use ::store::idempotency::{self, Outcome};
use ::store::{BatchResult, BatchWork, Db, Tx};
use common::clock::Clock;
use common::context::RequestContext;
use common::ids::OrderId;
use common::time::Timestamp;
use contracts::events::OrderOrigin;

use super::{Asked, NewOrder};
use crate::domain::order::{Cancellation, Order, Status};
use crate::domain::pricing::{self, Priced};
use crate::domain::saga::Saga;
use crate::domain::site::Site;
use crate::error::UseCaseError;
use crate::sagas::write::CREATED;
use crate::settings::{OrdersSettings, SagaSettings};
use crate::store::sagas::{RequestOrigin, StoredSaga};
use crate::store::{menu, orders, sagas};
use crate::wire::OrderOut;

/// Places orders.
pub(crate) struct PlaceOrders {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) orders: OrdersSettings,
    pub(crate) saga: SagaSettings,
}

/// An order that is wished for.
pub(crate) struct Request {
    pub(crate) asked: Asked,
    pub(crate) new: NewOrder,
    pub(crate) site: Arc<Site>,
    pub(crate) context: RequestContext,
}

/// What became of it.
pub(crate) enum Placed {
    /// It was answered before, with this.
    Answered { body: serde_json::Value },
    /// The same request placed an order that is still pending.
    Pending(Box<Order>),
    /// The order exists now, and its saga is the caller's to drive.
    New(Box<(Order, StoredSaga)>),
}

/// What one request of a batch comes to.
enum Draft {
    /// A new order.
    New(Box<(Order, StoredSaga)>),
    /// Nothing new: its key was used before.
    Repeated,
    /// Lines that cannot be sold, unless its key was used before.
    Unsellable(UseCaseError),
}

impl BatchWork for PlaceOrders {
    type Request = Request;
    type Answer = Placed;
    type Error = UseCaseError;

    fn db(&self) -> &Db {
        &self.db
    }

    async fn work(&self, requests: &[Request]) -> BatchResult<Self> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let priced = price(&mut tx, requests).await?;
        let fresh = claim(&mut tx, requests, &priced, now).await?;
        let draft = |((request, priced), is_fresh)| match priced {
            Ok(priced) if is_fresh => Draft::New(Box::new(self.open(request, priced, now))),
            Ok(_) => Draft::Repeated,
            Err(fault) => Draft::Unsellable(fault),
        };
        let drafts: Vec<Draft> = requests.iter().zip(priced).zip(fresh).map(draft).collect();
        insert(&mut tx, &drafts, now).await?;

        let mut answers = Vec::with_capacity(requests.len());
        for (Request { asked, .. }, draft) in requests.iter().zip(drafts) {
            // The key comes first: a repeated request is answered as the first one was, even if its
            // lines could not be sold any more.
            answers.push(match draft {
                Draft::New(new) => Ok(Placed::New(new)),
                Draft::Repeated => self.answer_again(&mut tx, asked, now).await?,
                Draft::Unsellable(fault) => {
                    match idempotency::find(&mut tx, &asked.request).await? {
                        None => Err(fault),
                        Some(_) => self.answer_again(&mut tx, asked, now).await?,
                    }
                }
            });
        }
        tx.commit().await?;
        Ok(answers)
    }
}

impl PlaceOrders {
    fn open(&self, request: &Request, priced: Priced, now: Timestamp) -> (Order, StoredSaga) {
        let Request { site, new, .. } = request;
        let local_time = site.local_time(now);
        let order = Order {
            id: OrderId::new(&self.clock),
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
        };
        let stored = self.new_saga(request, &order, now);
        (order, stored)
    }

    fn new_saga(&self, request: &Request, order: &Order, now: Timestamp) -> StoredSaga {
        let Request {
            asked,
            new,
            context,
            ..
        } = request;
        StoredSaga {
            saga: Saga::new(now, self.saga.forward_deadline(), order.is_free()),
            version: 1,
            steps_logged: 0,
            next_attempt_at: Some(now),
            leased_until: Some(now.plus(self.saga.lease())),
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

    /// The answer to a request whose key was used before. The outer error is the batch's.
    async fn answer_again(
        &self,
        tx: &mut Tx,
        asked: &Asked,
        now: Timestamp,
    ) -> Result<Result<Placed, UseCaseError>, UseCaseError> {
        let known = idempotency::find(tx, &asked.request).await?;
        Ok(match known.unwrap_or(Outcome::InFlight) {
            Outcome::InFlight => return self.answer_unfinished(tx, asked, now).await,
            known => known
                .into_replay()
                .map(|replay| Placed::Answered {
                    body: replay.map(|(_, body)| body).unwrap_or_default(),
                })
                .map_err(UseCaseError::Idempotency),
        })
    }

    /// The key was claimed and has no final answer: its order is under way, or it ended without the
    /// request that placed it, as after a crash.
    async fn answer_unfinished(
        &self,
        tx: &mut Tx,
        asked: &Asked,
        now: Timestamp,
    ) -> Result<Result<Placed, UseCaseError>, UseCaseError> {
        let id = sagas::find_by_request(tx, &asked.caller, &asked.idempotency_key).await?;
        let order = match id {
            Some(id) => orders::find_order(tx, id).await?,
            None => None,
        };
        let Some(order) = order else {
            return Ok(Err(UseCaseError::InFlight));
        };
        if order.status != Status::Pending {
            let body = OrderOut::from(&order);
            idempotency::finish(tx, &asked.request, CREATED, &body).await?;
            let body = serde_json::to_value(body).map_err(UseCaseError::Unhashable)?;
            return Ok(Ok(Placed::Answered { body }));
        }
        if now.since(order.created_at) < self.orders.answer_within() {
            return Ok(Err(UseCaseError::InFlight));
        }
        Ok(Ok(Placed::Pending(Box::new(order))))
    }
}

/// Looks the prices up, for all requests at once.
async fn price(
    tx: &mut Tx,
    requests: &[Request],
) -> Result<Vec<Result<Priced, UseCaseError>>, UseCaseError> {
    let wanted = requests.iter().flat_map(|request| &request.new.wanted);
    let items = menu::find_items(tx, wanted.map(|wanted| wanted.item_id)).await?;
    let price = |Request { new, site, .. }: &Request| {
        let priced = pricing::price(&new.wanted, &items, site.currency);
        priced.map_err(UseCaseError::Lines)
    };
    Ok(requests.iter().map(price).collect())
}

/// Claims the keys of the requests that can be sold; tells of each request whether its key is
/// fresh and now claimed.
async fn claim(
    tx: &mut Tx,
    requests: &[Request],
    priced: &[Result<Priced, UseCaseError>],
    now: Timestamp,
) -> Result<Vec<bool>, UseCaseError> {
    let sellable = requests
        .iter()
        .zip(priced)
        .filter(|(_, priced)| priced.is_ok());
    let keys: Vec<_> = sellable
        .map(|(request, _)| &request.asked.request)
        .collect();
    let mut claimed = idempotency::claim_many(tx, &keys, now).await?.into_iter();
    let priced = priced.iter();
    let is_fresh = |priced: &Result<_, _>| priced.is_ok() && claimed.next().unwrap_or(false);
    Ok(priced.map(is_fresh).collect())
}

async fn insert(tx: &mut Tx, drafts: &[Draft], now: Timestamp) -> Result<(), UseCaseError> {
    let new = drafts.iter().filter_map(|draft| match draft {
        Draft::New(new) => Some(&**new),
        Draft::Repeated | Draft::Unsellable(_) => None,
    });
    let (orders, sagas): (Vec<&Order>, Vec<_>) = new
        .map(|(order, stored)| (order, (order.id, stored)))
        .unzip();
    let inserted = orders::insert_orders(tx, &orders).await?;
    if usize::try_from(inserted) != Ok(orders.len()) {
        let fault = "a new order exists already".to_owned();
        return Err(UseCaseError::Inconsistent(fault));
    }
    sagas::insert_sagas(tx, &sagas, now).await?;
    Ok(())
}
