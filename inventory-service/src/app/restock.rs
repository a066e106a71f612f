//! Books back what orders consumed.

use std::collections::BTreeMap;

use ::store::Tx;
use common::clock::Clock;
use common::ids::ReservationId;

use super::book::{self, movement};
use super::commit::{Outcome, Request};
use super::hold::{self, Hold, lock_orders};
use super::{AppState, Entry};
use crate::domain::reservation::{State, Step};
use crate::error::UseCaseError;
use crate::store::{ledger, reservations};

/// [`restock_within`] of one order, in a transaction of its own.
pub(crate) async fn restock(app: &AppState, request: Request) -> Result<Outcome, UseCaseError> {
    let mut tx = app.db.begin().await?;
    let outcomes = restock_within(&mut tx, &app.clock, &[request]).await?;
    tx.commit().await?;
    Ok(outcomes.first().copied().unwrap_or(Outcome::NotFound))
}

/// Puts every unit that the orders consumed back into the lot it came from, by a movement of its
/// own for each movement that took it. Answers each request at its place.
pub(crate) async fn restock_within(
    tx: &mut Tx,
    clock: &Clock,
    requests: &[Request],
) -> Result<Vec<Outcome>, UseCaseError> {
    let orders = requests.iter().map(|request| request.order_id).collect();
    let holds = lock_orders(tx, &orders).await?;
    let consumed = holds
        .iter()
        .filter(|hold| hold.state.on_restock() == Step::Go);
    let consumed: Vec<&Hold> = consumed.collect();
    ledger::lock_balances(tx, &hold::places(consumed.iter().copied())).await?;
    give_back(tx, clock, &consumed, requests).await?;
    let ids: Vec<ReservationId> = consumed.iter().map(|hold| hold.id).collect();
    reservations::update_states(tx, &ids, State::Restocked, clock.now()).await?;
    let outcome = |request: &Request| {
        let hold = holds.iter().find(|hold| hold.order_id == request.order_id);
        hold.map_or(Outcome::NotFound, |hold| outcome_of(hold.state))
    };
    Ok(requests.iter().map(outcome).collect())
}

const fn outcome_of(state: State) -> Outcome {
    match state.on_restock() {
        Step::Go | Step::Done => Outcome::Done,
        Step::Refuse => Outcome::Refused(state),
    }
}

async fn give_back(
    tx: &mut Tx,
    clock: &Clock,
    consumed: &[&Hold],
    requests: &[Request],
) -> Result<(), UseCaseError> {
    let references: Vec<String> = consumed
        .iter()
        .map(|hold| hold.order_id.to_string())
        .collect();
    let commands: BTreeMap<String, &str> = requests
        .iter()
        .map(|request| (request.order_id.to_string(), &*request.command_id))
        .collect();
    let now = clock.now();
    let mut movements = Vec::new();
    for taken in ledger::list_movements_of(tx, &references, "consumption").await? {
        let entry = Entry {
            kind: "restock",
            reference: &taken.reference,
            reason: None,
            actor: commands.get(&taken.reference).copied().unwrap_or_default(),
            now,
        };
        let place = (taken.store_id, taken.product_id);
        movements.push(movement(
            clock,
            place,
            (taken.lot_id, -taken.quantity),
            &entry,
        ));
    }
    book::post(tx, &movements).await
}
