//! Turns what orders hold into consumption.

use std::collections::BTreeMap;

use common::clock::Clock;
use common::ids::{OrderId, ReservationId, StoreId};
use common::time::{CivilDate, Timestamp};

use super::book::movement;
use super::hold::Hold;
use super::{Entry, utc_date};
use crate::domain::Place;
use crate::domain::allotment::Free;
use crate::domain::fefo::Shelves;
use crate::domain::reservation::{State, Step};
use crate::error::UseCaseError;
use crate::store::ledger::{Balance, MovementRow};

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

/// What orders consume, earliest expiry first; one order after another, so that a later one finds
/// what an earlier one left.
pub(super) struct Plan<'a> {
    clock: &'a Clock,
    now: Timestamp,
    holds: BTreeMap<OrderId, Hold>,
    shelves: Shelves,
    pub(super) movements: Vec<MovementRow>,
    pub(super) committed: Vec<ReservationId>,
    /// Base units that are held no longer.
    consumed: BTreeMap<Place, i64>,
}

impl<'a> Plan<'a> {
    /// Begins with locked holds, and the lots of their places and of any others.
    pub(super) fn new(
        clock: &'a Clock,
        now: Timestamp,
        holds: Vec<Hold>,
        shelves: Shelves,
    ) -> Self {
        let holds = holds.into_iter().map(|hold| (hold.order_id, hold));
        Self {
            clock,
            now,
            holds: holds.collect(),
            shelves,
            movements: Vec::new(),
            committed: Vec::new(),
            consumed: BTreeMap::new(),
        }
    }

    /// Consumes what an order holds.
    pub(super) fn commit(&mut self, request: &Request) -> Result<Outcome, UseCaseError> {
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
        let date = hold.store_date.unwrap_or_else(|| utc_date(self.now));
        let taken = self.shelves.take(store, &hold.lines, date)?;
        for (place, units) in hold.places() {
            *self.consumed.entry(place).or_default() += units;
        }
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

    /// What may be promised after that, of places with these balances before, on the dates of the
    /// stores.
    pub(super) fn free(
        &self,
        balances: BTreeMap<Place, Balance>,
        dates: &BTreeMap<StoreId, CivilDate>,
    ) -> Free {
        let balances = balances.into_iter();
        balances
            .map(|(place, balance)| {
                let consumed = self.consumed.get(&place).copied().unwrap_or(0);
                let held = balance.reserved - consumed;
                let date = dates.get(&place.0).copied();
                let date = date.unwrap_or_else(|| utc_date(self.now));
                (place, self.shelves.usable(place, date) - held)
            })
            .collect()
    }
}
