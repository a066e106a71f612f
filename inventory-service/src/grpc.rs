//! The commands of the order path: gRPC `inventory.v1.InventoryCommands`, for order-service only.

use std::collections::BTreeMap;
use std::time::Duration;

use common::clock::Clock;
use common::error::ApiError;
use common::ids::{ItemId, OrderId, StoreId};
use common::time::CivilDate;
use contracts::inventory_v1::inventory_commands_server::InventoryCommands;
use contracts::inventory_v1::{
    CommandOutcome, CommandReply, CommandRequest, GetReservationReply, GetReservationRequest,
    ReservationState, ReserveOutcome, ReserveReply, ReserveRequest, Shortage,
};
use contracts::wire::{invalid, parse_id};
use resilience::grpc::{Caller, status_of};
use tonic::{Request, Response, Status};

use crate::app::commit::{self, Outcome};
use crate::app::release::release;
use crate::app::reserve;
use crate::app::restock::restock;
use crate::app::{AppState, utc_date};
use crate::domain::quantity::Quantity;
use crate::domain::reservation::State;
use crate::error::UseCaseError;
use crate::store::reservations;

/// Lines of one order at most.
const MAX_LINES: usize = 500;

/// Serves the commands.
pub(crate) struct Commands(pub(crate) AppState);

#[tonic::async_trait]
impl InventoryCommands for Commands {
    async fn reserve(
        &self,
        request: Request<ReserveRequest>,
    ) -> Result<Response<ReserveReply>, Status> {
        let caller = Caller::of(&request)?.clone();
        let message = request.into_inner();
        let store_id: StoreId = parse_id("store_id", &message.store_id)?;
        caller.require_store(store_id)?;
        let order = reserve::Request {
            order_id: parse_id("order_id", &message.order_id)?,
            store_id,
            sold: sold(&message)?,
            ttl: ttl(message.ttl_seconds)?,
            store_date: store_date(&message.store_date, &self.0.clock)?,
            command_id: message.command_id,
        };
        let outcome = self.0.order_stock.reserve(order).await.map_err(status)?;
        Ok(Response::new(reserve_reply(outcome)))
    }

    async fn commit(
        &self,
        request: Request<CommandRequest>,
    ) -> Result<Response<CommandReply>, Status> {
        reply(self.0.order_stock.commit(order_of(request)?).await)
    }

    async fn release(
        &self,
        request: Request<CommandRequest>,
    ) -> Result<Response<CommandReply>, Status> {
        let request = order_of(request)?;
        reply(release(&self.0, request.order_id, &request.command_id).await)
    }

    async fn restock(
        &self,
        request: Request<CommandRequest>,
    ) -> Result<Response<CommandReply>, Status> {
        reply(restock(&self.0, order_of(request)?).await)
    }

    async fn get_reservation(
        &self,
        request: Request<GetReservationRequest>,
    ) -> Result<Response<GetReservationReply>, Status> {
        let order: OrderId = parse_id("order_id", &request.get_ref().order_id)?;
        let mut tx = self
            .0
            .db
            .read()
            .await
            .map_err(|error| status(error.into()))?;
        let row = reservations::find(&mut tx, order)
            .await
            .map_err(|error| status(error.into()))?;
        let reply = match row {
            None => GetReservationReply {
                state: ReservationState::None.into(),
                reservation_id: String::new(),
            },
            Some(row) => {
                let state: State = row
                    .state
                    .parse()
                    .map_err(|error| status(UseCaseError::from(error)))?;
                GetReservationReply {
                    state: wire_state(state).into(),
                    reservation_id: row.id.to_string(),
                }
            }
        };
        Ok(Response::new(reply))
    }
}

fn sold(message: &ReserveRequest) -> Result<BTreeMap<ItemId, i64>, Status> {
    if message.lines.is_empty() || message.lines.len() > MAX_LINES {
        return Err(invalid("lines", "must hold from 1 to 500 lines"));
    }
    let mut sold = BTreeMap::new();
    for line in &message.lines {
        let item: ItemId = parse_id("lines.item_id", &line.item_id)?;
        let out_of_range = |_error| invalid("lines.quantity", "is out of range");
        let pieces = Quantity::try_from(line.quantity)
            .map_err(out_of_range)?
            .units();
        *sold.entry(item).or_default() += pieces;
    }
    Ok(sold)
}

fn ttl(seconds: i64) -> Result<Duration, Status> {
    match u64::try_from(seconds) {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err(invalid("ttl_seconds", "must be at least 1")),
    }
}

/// A client of before says none.
fn store_date(text: &str, clock: &Clock) -> Result<CivilDate, Status> {
    if text.is_empty() {
        return Ok(utc_date(clock.now()));
    }
    let malformed = |_error| invalid("store_date", "is not a date YYYY-MM-DD");
    text.parse().map_err(malformed)
}

fn order_of(request: Request<CommandRequest>) -> Result<commit::Request, Status> {
    let message = request.into_inner();
    Ok(commit::Request {
        order_id: parse_id("order_id", &message.order_id)?,
        command_id: message.command_id,
    })
}

fn reserve_reply(outcome: reserve::Outcome) -> ReserveReply {
    let (outcome, reservation_id, shortages) = match outcome {
        reserve::Outcome::Reserved(id) => (ReserveOutcome::Reserved, id.to_string(), Vec::new()),
        reserve::Outcome::OutOfStock(shortages) => {
            (ReserveOutcome::OutOfStock, String::new(), shortages)
        }
        reserve::Outcome::AlreadyReleased => {
            (ReserveOutcome::AlreadyReleased, String::new(), Vec::new())
        }
    };
    let shortages = shortages
        .into_iter()
        .map(|shortage| Shortage {
            product_id: shortage.product_id.to_string(),
            sku: shortage.sku,
            wanted: shortage.wanted,
            available: shortage.available,
        })
        .collect();
    ReserveReply {
        outcome: outcome.into(),
        reservation_id,
        shortages,
    }
}

fn reply(outcome: Result<Outcome, UseCaseError>) -> Result<Response<CommandReply>, Status> {
    let outcome = match outcome.map_err(status)? {
        Outcome::Done => CommandOutcome::Done,
        Outcome::NotFound => CommandOutcome::NotFound,
        Outcome::Refused(State::Expired) => CommandOutcome::Expired,
        Outcome::Refused(State::Committed) => CommandOutcome::AlreadyCommitted,
        Outcome::Refused(State::Refused) => CommandOutcome::NotFound,
        Outcome::Refused(State::Released | State::Restocked) => CommandOutcome::AlreadyReleased,
        // A restock that overtook its commit; the saga sends it again after asking.
        Outcome::Refused(State::Held) => {
            return Err(Status::failed_precondition(
                "the stock is held, not consumed",
            ));
        }
    };
    Ok(Response::new(CommandReply {
        outcome: outcome.into(),
    }))
}

const fn wire_state(state: State) -> ReservationState {
    match state {
        State::Held => ReservationState::Held,
        // Asked for and refused: nothing was ever held.
        State::Refused => ReservationState::None,
        State::Committed => ReservationState::Committed,
        State::Released => ReservationState::Released,
        State::Expired => ReservationState::Expired,
        State::Restocked => ReservationState::Restocked,
    }
}

fn status(error: UseCaseError) -> Status {
    status_of(&ApiError::from(error))
}
