//! Turns what orders hold into consumption.

use std::collections::{BTreeMap, BTreeSet};

use ::store::{BatchResult, BatchWork, Db};
use common::clock::Clock;
use common::ids::{OrderId, ReservationId};
use common::time::Timestamp;

use super::book::{self, Source, movement};
use super::hold::{self, Hold, lock_orders};
use super::{Entry, expiry_date};
use crate::domain::fefo::Shelves;
use crate::domain::reservation::{State, Step};
use crate::error::UseCaseError;
use crate::store::ledger::{self, MovementRow};
use crate::store::reservations;

/// An order whose stock is to be consumed.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) order_id: OrderId,
    pub(crate) command_id: String,
}

/// What became of a command on a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done, now or before.
    Done,
    /// Refused: the reservation is in this state.
    Refused(State),
    /// The order never asked for stock.
    NotFound,
}

/// Consumes what orders hold, earliest expiry first; one order after another, so that a later one
/// finds what an earlier one left.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
}

impl BatchWork for Commit {
    type Request = Request;
    type Answer = Outcome;
    type Error = UseCaseError;

    async fn work(&self, requests: &[Request]) -> BatchResult<Self> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let orders: BTreeSet<OrderId> = requests.iter().map(|request| request.order_id).collect();
        let holds = lock_orders(&mut tx, &orders).await?;
        let places = hold::places(holds.iter().filter(|hold| hold.state == State::Held));
        // The locks come before the lots are read.
        ledger::lock_balances(&mut tx, &places).await?;
        let mut plan = Plan {
            clock: &self.clock,
            now,
            holds: holds
                .into_iter()
                .map(|hold| (hold.order_id, hold))
                .collect(),
            shelves: ledger::list_pickable(&mut tx, &places).await?,
            movements: Vec::new(),
            committed: Vec::new(),
        };
        let answers = requests
            .iter()
            .map(|request| plan.commit(request))
            .collect();
        book::post(&mut tx, &plan.movements, Source::Held).await?;
        reservations::update_states(&mut tx, &plan.committed, State::Committed, now).await?;
        tx.commit().await?;
        Ok(answers)
    }
}

/// What a batch changes.
struct Plan<'a> {
    clock: &'a Clock,
    now: Timestamp,
    holds: BTreeMap<OrderId, Hold>,
    shelves: Shelves,
    movements: Vec<MovementRow>,
    committed: Vec<ReservationId>,
}

impl Plan<'_> {
    fn commit(&mut self, request: &Request) -> Result<Outcome, UseCaseError> {
        let order = request.order_id;
        let Some(hold) = self.holds.get_mut(&order) else {
            return Ok(Outcome::NotFound);
        };
        match hold.state.on_commit() {
            Step::Done => return Ok(Outcome::Done),
            Step::Refuse => return Ok(Outcome::Refused(hold.state)),
            Step::Go => {}
        }
        let store = hold.store_id.ok_or_else(|| {
            UseCaseError::Inconsistent(format!("order {order} holds stock of no store"))
        })?;
        let today = expiry_date(self.now);
        let taken = self.shelves.take(store, &hold.lines, today)?;
        hold.state = State::Committed;
        self.committed.push(hold.id);
        let reference = order.to_string();
        let entry = Entry {
            kind: "consumption",
            reference: &reference,
            reason: None,
            actor: &request.command_id,
            now: self.now,
        };
        self.movements.extend(
            taken.into_iter().map(|(place, pick)| {
                movement(self.clock, place, (pick.lot, -pick.quantity), &entry)
            }),
        );
        Ok(Outcome::Done)
    }
}
