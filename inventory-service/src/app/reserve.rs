//! Sets stock aside for orders: of each all of it, or none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ::store::{BatchResult, BatchWork, Db, Tx};
use common::clock::Clock;
use common::ids::{ItemId, OrderId, ReservationId, StoreId};
use common::time::Timestamp;

use super::{book, expiry_date};
use crate::domain::Place;
use crate::domain::allotment::{Free, Lack};
use crate::domain::recipe::{Needed, TooMuch, explode};
use crate::domain::reservation::State;
use crate::error::UseCaseError;
use crate::store::reservations::{
    self, LineRow, NewReservation, Refusal, ReservationRow, Shortage,
};
use crate::store::{catalog, ledger};

/// What an order wants to be set aside.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) command_id: String,
    pub(crate) order_id: OrderId,
    pub(crate) store_id: StoreId,
    pub(crate) sold: BTreeMap<ItemId, i64>,
    pub(crate) ttl: Duration,
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

/// Sets aside what orders consume, in the order of asking. Repeated, it answers what it answered
/// the first time.
#[derive(Debug)]
pub(crate) struct Reserve {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    /// Longest time that stock stays set aside.
    pub(crate) max_ttl: Duration,
}

impl BatchWork for Reserve {
    type Request = Request;
    type Answer = Outcome;
    type Error = UseCaseError;

    async fn work(&self, requests: &[Request]) -> BatchResult<Self> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let needs = explode_all(&mut tx, requests).await?;
        let wishes = self.begin(&mut tx, requests, &needs, now).await?;
        let (granted, refused) = decide(&mut tx, wishes, now).await?;
        let mut outcomes = hold(&mut tx, &granted).await?;
        outcomes.extend(refuse(&mut tx, &refused, now).await?);
        answer_again(&mut tx, requests, &mut outcomes).await?;
        tx.commit().await?;
        let answer = |(request, needed): (&Request, Result<_, _>)| match (
            outcomes.get(&request.order_id),
            needed,
        ) {
            (Some(outcome), _) => Ok(outcome.clone()),
            (None, Err(too_much)) => Err(UseCaseError::TooMuch(too_much)),
            (None, Ok(_)) => Err(inconsistent(request.order_id)),
        };
        Ok(requests.iter().zip(needs).map(answer).collect())
    }
}

/// An order that asks for the first time.
struct Wish<'a> {
    order_id: OrderId,
    store_id: StoreId,
    id: ReservationId,
    needed: &'a Needed,
}

impl Wish<'_> {
    fn places(&self) -> impl Iterator<Item = (Place, i64)> {
        let needed = self.needed.iter();
        needed.map(|(product, units)| ((self.store_id, *product), *units))
    }
}

/// What each request consumes. A request that is too much fails alone.
async fn explode_all(
    tx: &mut Tx,
    requests: &[Request],
) -> Result<Vec<Result<Needed, TooMuch>>, UseCaseError> {
    let items = requests.iter().flat_map(|request| request.sold.keys());
    let recipes = catalog::list_recipes(tx, &items.copied().collect()).await?;
    let requests = requests.iter();
    Ok(requests
        .map(|request| explode(&request.sold, &recipes))
        .collect())
}

impl Reserve {
    /// Begins a reservation for each order that asks for the first time, and returns these.
    async fn begin<'a>(
        &self,
        tx: &mut Tx,
        requests: &[Request],
        needs: &'a [Result<Needed, TooMuch>],
        now: Timestamp,
    ) -> Result<Vec<Wish<'a>>, UseCaseError> {
        let (mut wishes, mut rows) = (Vec::new(), Vec::new());
        let mut asked = BTreeSet::new();
        for (request, needed) in requests.iter().zip(needs) {
            let Ok(needed) = needed else { continue };
            if !asked.insert(request.order_id) {
                continue;
            }
            let id = ReservationId::new(&self.clock);
            wishes.push(Wish {
                order_id: request.order_id,
                store_id: request.store_id,
                id,
                needed,
            });
            rows.push(NewReservation {
                order_id: request.order_id,
                id,
                store_id: Some(request.store_id),
                state: State::Held,
                command_id: &request.command_id,
                expires_at: now.plus(request.ttl.min(self.max_ttl)),
                created_at: now,
            });
        }
        let begun = reservations::insert(tx, rows).await?;
        wishes.retain(|wish| begun.contains(&wish.order_id));
        Ok(wishes)
    }
}

type Refused<'a> = (Wish<'a>, Vec<Lack>);

/// Grants each wish or refuses it, in the order of asking.
async fn decide<'a>(
    tx: &mut Tx,
    wishes: Vec<Wish<'a>>,
    now: Timestamp,
) -> Result<(Vec<Wish<'a>>, Vec<Refused<'a>>), UseCaseError> {
    let places = wishes.iter().flat_map(Wish::places);
    let places: BTreeSet<Place> = places.map(|(place, _units)| place).collect();
    // The locks come first: what is read after them stands still until the transaction ends. A
    // place without a balance has no lock, and nothing to promise.
    let balances = ledger::lock_balances(tx, &places).await?;
    let shelves = ledger::list_pickable(tx, &places).await?;
    let today = expiry_date(now);
    let mut free: Free = balances
        .into_iter()
        .map(|(place, balance)| (place, shelves.usable(place, today) - balance.reserved))
        .collect();
    let (mut granted, mut refused) = (Vec::new(), Vec::new());
    for wish in wishes {
        match free.allot(wish.store_id, wish.needed) {
            Ok(()) => granted.push(wish),
            Err(lacks) => refused.push((wish, lacks)),
        }
    }
    Ok((granted, refused))
}

async fn hold(
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
    book::change_reserved(tx, granted.iter().flat_map(Wish::places)).await?;
    let outcome = |wish: &Wish<'_>| (wish.order_id, Outcome::Reserved(wish.id));
    Ok(granted.iter().map(outcome).collect())
}

async fn refuse(
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
    let orders = refused.iter().map(|(wish, _lacks)| wish.order_id);
    let outcomes = refusals
        .into_iter()
        .map(|row| Outcome::OutOfStock(row.shortages));
    Ok(orders.zip(outcomes).collect())
}

/// Answers the orders that asked before, as they were answered then.
///
/// Their rows are not locked: a reservation that another transaction is about to end was held when
/// it was asked for. And whoever holds balances must not wait for reservations.
async fn answer_again(
    tx: &mut Tx,
    requests: &[Request],
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

fn inconsistent(order: OrderId) -> UseCaseError {
    UseCaseError::Inconsistent(format!("order {order} is and is not reserved"))
}
