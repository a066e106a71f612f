//! The stock of orders. Commands that come at the same time are one transaction, whichever of them
//! reserve and which consume: all of them need the same balances.

use std::collections::BTreeSet;
use std::time::Duration;

use ::store::{BatchResult, BatchWork, Batcher, Db, Tx};
use common::clock::Clock;
use common::ids::ReservationId;
use common::time::Timestamp;

use super::hold::{self, lock_orders};
use super::reserve::Wish;
use super::{book, commit, reserve};
use crate::domain::recipe::{Needed, TooMuch};
use crate::domain::reservation::State;
use crate::error::UseCaseError;
use crate::store::reservations::NewReservation;
use crate::store::{ledger, reservations};

/// Reserves and consumes what orders need. Clones share the queue.
#[derive(Clone, Debug)]
pub(crate) struct OrderStock(Batcher<Work>);

impl OrderStock {
    pub(crate) fn new(work: Work) -> Self {
        Self(Batcher::new(work))
    }

    /// Sets stock aside for an order: all of it, or none. Repeated, it answers what it answered the
    /// first time.
    pub(crate) async fn reserve(
        &self,
        request: reserve::Request,
    ) -> Result<reserve::Outcome, UseCaseError> {
        match self.0.run(Command::Reserve(request)).await? {
            Outcome::Reserve(outcome) => Ok(outcome),
            Outcome::Commit(_) => Err(mixed_up()),
        }
    }

    /// Consumes what an order holds.
    pub(crate) async fn commit(
        &self,
        request: commit::Request,
    ) -> Result<commit::Outcome, UseCaseError> {
        match self.0.run(Command::Commit(request)).await? {
            Outcome::Commit(outcome) => Ok(outcome),
            Outcome::Reserve(_) => Err(mixed_up()),
        }
    }
}

fn mixed_up() -> UseCaseError {
    UseCaseError::Inconsistent("one command was given the answer to another".to_owned())
}

/// What a batch does.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    /// Longest time that stock stays set aside.
    pub(crate) max_ttl: Duration,
}

/// What is asked for an order.
#[derive(Debug)]
pub(crate) enum Command {
    Reserve(reserve::Request),
    Commit(commit::Request),
}

/// What became of a command, of the same kind.
#[derive(Debug)]
pub(crate) enum Outcome {
    Reserve(reserve::Outcome),
    Commit(commit::Outcome),
}

impl BatchWork for Work {
    type Request = Command;
    type Answer = Outcome;
    type Error = UseCaseError;

    fn db(&self) -> &Db {
        &self.db
    }

    /// Locks are taken in one order everywhere, so that no two transactions wait for each other:
    /// known reservations, then new ones, then balances.
    async fn work(&self, commands: &[Command]) -> BatchResult<Self> {
        let now = self.clock.now();
        let (to_reserve, to_commit) = sort(commands);
        let mut tx = self.db.begin().await?;
        let orders = to_commit.iter().map(|request| request.order_id);
        let holds = lock_orders(&mut tx, &orders.collect()).await?;
        let needs = reserve::explode_all(&mut tx, &to_reserve).await?;
        let asked = to_reserve.iter().copied().zip(&needs);
        let wishes = self.begin(&mut tx, asked, now).await?;

        let mut places = hold::places(holds.iter().filter(|hold| hold.state == State::Held));
        places.extend(wishes.iter().flat_map(Wish::places).map(|(place, _)| place));
        // What is read after the locks stands still until the transaction ends. A place without a
        // balance has no lock, and nothing to promise or to take.
        let balances = ledger::lock_balances(&mut tx, &places).await?;
        let shelves = ledger::list_pickable(&mut tx, &places).await?;
        let mut plan = commit::Plan::new(&self.clock, now, holds, shelves);
        let committed: Vec<_> = to_commit
            .into_iter()
            .map(|asked| plan.commit(asked))
            .collect();
        let free = plan.free(balances, &reserve::store_dates(&wishes));
        let (granted, refused) = reserve::decide(wishes, free);

        let held = granted.iter().flat_map(Wish::places);
        book::consume_and_hold(&mut tx, &plan.movements, held).await?;
        reservations::update_states(&mut tx, &plan.committed, State::Committed, now).await?;
        let mut outcomes = reserve::hold(&mut tx, &granted).await?;
        outcomes.extend(reserve::refuse(&mut tx, &refused, now).await?);
        reserve::answer_again(&mut tx, &to_reserve, &mut outcomes).await?;
        tx.commit().await?;
        let reserved = to_reserve.into_iter().zip(needs);
        let reserved =
            reserved.map(|(request, needed)| reserve::answer(request, needed, &outcomes));
        Ok(in_order(commands, reserved, committed))
    }
}

impl Work {
    /// Begins a reservation for each order that asks for the first time, and returns these.
    async fn begin<'a>(
        &self,
        tx: &mut Tx,
        asked: impl Iterator<Item = (&'a reserve::Request, &'a Result<Needed, TooMuch>)>,
        now: Timestamp,
    ) -> Result<Vec<Wish<'a>>, UseCaseError> {
        let (mut wishes, mut rows) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for (request, needed) in asked {
            let Ok(needed) = needed else { continue };
            if !seen.insert(request.order_id) {
                continue;
            }
            let id = ReservationId::new(&self.clock);
            wishes.push(Wish::new(request, id, needed));
            rows.push(NewReservation {
                order_id: request.order_id,
                id,
                store_id: Some(request.store_id),
                state: State::Held,
                command_id: &request.command_id,
                expires_at: now.plus(request.ttl.min(self.max_ttl)),
                store_date: Some(request.store_date),
                created_at: now,
            });
        }
        let begun = reservations::insert(tx, rows).await?;
        wishes.retain(|wish| begun.contains(&wish.order_id()));
        Ok(wishes)
    }
}

/// The two kinds of commands, each in the order of asking.
fn sort(commands: &[Command]) -> (Vec<&reserve::Request>, Vec<&commit::Request>) {
    let (mut to_reserve, mut to_commit) = (Vec::new(), Vec::new());
    for command in commands {
        match command {
            Command::Reserve(request) => to_reserve.push(request),
            Command::Commit(request) => to_commit.push(request),
        }
    }
    (to_reserve, to_commit)
}

/// The outcomes of both kinds, each at its command's place.
fn in_order(
    commands: &[Command],
    reserved: impl IntoIterator<Item = Result<reserve::Outcome, UseCaseError>>,
    committed: impl IntoIterator<Item = Result<commit::Outcome, UseCaseError>>,
) -> Vec<Result<Outcome, UseCaseError>> {
    let (mut reserved, mut committed) = (reserved.into_iter(), committed.into_iter());
    let outcome = |command: &Command| match command {
        Command::Reserve(_) => Some(reserved.next()?.map(Outcome::Reserve)),
        Command::Commit(_) => Some(committed.next()?.map(Outcome::Commit)),
    };
    let outcomes = commands.iter().map(outcome);
    outcomes
        .map(|outcome| outcome.unwrap_or_else(|| Err(mixed_up())))
        .collect()
}
