//! Sets stock aside for orders: of each all of it, or none.

use std::collections::BTreeMap;
use std::time::Duration;

use ::store::Tx;
use common::ids::{ItemId, OrderId, ReservationId, StoreId};
use common::time::{CivilDate, Timestamp};

use crate::domain::Place;
use crate::domain::allotment::{Free, Lack};
use crate::domain::recipe::{Needed, TooMuch, explode};
use crate::domain::reservation::State;
use crate::error::UseCaseError;
use crate::store::catalog;
use crate::store::reservations::{self, LineRow, Refusal, ReservationRow, Shortage};

/// What an order wants to be set aside.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) command_id: String,
    pub(crate) order_id: OrderId,
    pub(crate) store_id: StoreId,
    pub(crate) sold: BTreeMap<ItemId, i64>,
    pub(crate) ttl: Duration,
    /// The date at the store when the order was placed.
    pub(crate) store_date: CivilDate,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything is held.
    Reserved(ReservationId),
    /// Nothing is held.
    OutOfStock(Vec<Shortage>),
    /// The order was given up before; nothing is held.
    AlreadyReleased,
}

/// An order that asks for the first time.
pub(super) struct Wish<'a> {
    request: &'a Request,
    id: ReservationId,
    needed: &'a Needed,
}

impl<'a> Wish<'a> {
    pub(super) const fn new(request: &'a Request, id: ReservationId, needed: &'a Needed) -> Self {
        Self {
            request,
            id,
            needed,
        }
    }

    pub(super) const fn order_id(&self) -> OrderId {
        self.request.order_id
    }

    pub(super) const fn store_date(&self) -> (StoreId, CivilDate) {
        (self.request.store_id, self.request.store_date)
    }

    /// Base units by place.
    pub(super) fn places(&self) -> impl Iterator<Item = (Place, i64)> {
        let needed = self.needed.iter();
        needed.map(|(product, units)| ((self.request.store_id, *product), *units))
    }
}

/// What each request consumes. A request that is too much fails alone.
pub(super) async fn explode_all(
    tx: &mut Tx,
    requests: &[&Request],
) -> Result<Vec<Result<Needed, TooMuch>>, UseCaseError> {
    let items = requests.iter().flat_map(|request| request.sold.keys());
    let recipes = catalog::list_recipes(tx, &items.copied().collect()).await?;
    let requests = requests.iter();
    Ok(requests
        .map(|request| explode(&request.sold, &recipes))
        .collect())
}

/// By which date each store judges what may still be used: around midnight, when orders of two days
/// come together, by the later one.
pub(super) fn store_dates(wishes: &[Wish<'_>]) -> BTreeMap<StoreId, CivilDate> {
    let mut dates = BTreeMap::new();
    for (store, date) in wishes.iter().map(Wish::store_date) {
        let latest = dates.entry(store).or_insert(date);
        *latest = date.max(*latest);
    }
    dates
}

type Refused<'a> = (Wish<'a>, Vec<Lack>);

/// Grants each wish or refuses it, in the order of asking.
pub(super) fn decide(wishes: Vec<Wish<'_>>, mut free: Free) -> (Vec<Wish<'_>>, Vec<Refused<'_>>) {
    let (mut granted, mut refused) = (Vec::new(), Vec::new());
    for wish in wishes {
        match free.allot(wish.request.store_id, wish.needed) {
            Ok(()) => granted.push(wish),
            Err(lacks) => refused.push((wish, lacks)),
        }
    }
    (granted, refused)
}

/// Writes down what is held. The balances are the caller's to change.
pub(super) async fn hold(
    tx: &mut Tx,
    granted: &[Wish<'_>],
) -> Result<BTreeMap<OrderId, Outcome>, UseCaseError> {
    let lines: Vec<LineRow> = granted
        .iter()
        .flat_map(|wish| {
            wish.needed.iter().map(|(product, units)| LineRow {
                reservation_id: wish.id,
                product_id: *product,
                quantity: *units,
            })
        })
        .collect();
    reservations::insert_lines(tx, &lines).await?;
    let outcome = |wish: &Wish<'_>| (wish.order_id(), Outcome::Reserved(wish.id));
    Ok(granted.iter().map(outcome).collect())
}

/// Writes down why nothing is held.
pub(super) async fn refuse(
    tx: &mut Tx,
    refused: &[Refused<'_>],
    now: Timestamp,
) -> Result<BTreeMap<OrderId, Outcome>, UseCaseError> {
    let lacks = refused.iter().flat_map(|(_wish, lacks)| lacks);
    let products = lacks.map(|lack| lack.product_id).collect();
    let skus = catalog::list_skus(tx, &products).await?;
    let shortage = |lack: &Lack| Shortage {
        product_id: lack.product_id,
        sku: skus.get(&lack.product_id).cloned().unwrap_or_default(),
        wanted: lack.wanted,
        available: lack.available,
    };
    let refusals: Vec<Refusal> = refused
        .iter()
        .map(|(wish, lacks)| Refusal {
            id: wish.id,
            shortages: lacks.iter().map(shortage).collect(),
        })
        .collect();
    reservations::update_refused(tx, &refusals, now).await?;
    let orders = refused.iter().map(|(wish, _lacks)| wish.order_id());
    let outcomes = refusals
        .into_iter()
        .map(|row| Outcome::OutOfStock(row.shortages));
    Ok(orders.zip(outcomes).collect())
}

/// Answers the orders that asked before, as they were answered then.
///
/// Their rows are not locked: a reservation that another transaction is about to end was held when
/// it was asked for. And whoever holds balances must not wait for reservations.
pub(super) async fn answer_again(
    tx: &mut Tx,
    requests: &[&Request],
    outcomes: &mut BTreeMap<OrderId, Outcome>,
) -> Result<(), UseCaseError> {
    let orders = requests.iter().map(|request| request.order_id);
    let again: Vec<OrderId> = orders
        .filter(|order| !outcomes.contains_key(order))
        .collect();
    for row in reservations::list(tx, &again).await? {
        outcomes.insert(row.order_id, outcome_of(row)?);
    }
    Ok(())
}

fn outcome_of(row: ReservationRow) -> Result<Outcome, UseCaseError> {
    Ok(match row.state.parse()? {
        State::Held | State::Committed => Outcome::Reserved(row.id),
        State::Refused => Outcome::OutOfStock(row.shortages.map(|json| json.0).unwrap_or_default()),
        State::Released | State::Expired | State::Restocked => Outcome::AlreadyReleased,
    })
}

/// What a request is told.
pub(super) fn answer(
    request: &Request,
    needed: Result<Needed, TooMuch>,
    outcomes: &BTreeMap<OrderId, Outcome>,
) -> Result<Outcome, UseCaseError> {
    let order = request.order_id;
    match (outcomes.get(&order), needed) {
        (Some(outcome), _) => Ok(outcome.clone()),
        (None, Err(too_much)) => Err(UseCaseError::TooMuch(too_much)),
        (None, Ok(_)) => Err(UseCaseError::Inconsistent(format!(
            "order {order} is and is not reserved"
        ))),
    }
}
