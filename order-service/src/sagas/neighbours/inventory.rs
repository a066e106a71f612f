//! inventory-service: holding, consuming and giving back the stock of an order.

use common::ids::OrderId;
use common::time::CivilDate;
use contracts::inventory_v1::inventory_commands_client::InventoryCommandsClient;
use contracts::inventory_v1::{
    CommandOutcome, CommandReply, CommandRequest, GetReservationRequest, ReservationState,
    ReserveLine, ReserveOutcome, ReserveReply, ReserveRequest,
};
use resilience::grpc::GrpcChannel;
use tonic::{Response, Status};

use super::{Answer, Asked, command_id};
use crate::domain::order::Order;
use crate::domain::saga::{Action, CancelReason, Undo, Verdict};

/// Shortages named in the timeline.
const MAX_SHORTAGES: usize = 5;

#[derive(Clone)]
pub(super) struct Inventory {
    client: InventoryCommandsClient<GrpcChannel>,
    reservation_ttl_seconds: u32,
}

impl Inventory {
    pub(super) fn new(channel: GrpcChannel, reservation_ttl_seconds: u32) -> Self {
        Self {
            client: InventoryCommandsClient::new(channel),
            reservation_ttl_seconds,
        }
    }

    pub(super) async fn reserve(&self, order: &Order) -> Answer {
        let line = |line: &crate::domain::order::Line| ReserveLine {
            item_id: line.item.item_id.to_string(),
            quantity: line.quantity,
        };
        let request = ReserveRequest {
            command_id: command_id(order.id, Action::Reserve.as_str()),
            order_id: order.id.to_string(),
            store_id: order.store_id.to_string(),
            lines: order.lines.iter().map(line).collect(),
            ttl_seconds: i64::from(self.reservation_ttl_seconds),
            store_date: CivilDate::from_jiff(order.local_time.date()).to_string(),
        };
        match self.client.clone().reserve(request).await {
            Ok(reply) => read_reserve(&reply.into_inner()),
            Err(status) => Answer::failed(&status),
        }
    }

    pub(super) async fn commit(&self, order: OrderId) -> Answer {
        let request = command(order, Action::Commit.as_str());
        let outcome = match outcome_of(self.client.clone().commit(request).await) {
            Ok(outcome) => outcome,
            Err(answer) => return answer,
        };
        match outcome {
            CommandOutcome::Done | CommandOutcome::AlreadyCommitted => Answer::done(),
            CommandOutcome::Expired
            | CommandOutcome::NotFound
            | CommandOutcome::AlreadyReleased => Answer::refused(CancelReason::ReservationExpired),
            CommandOutcome::Unspecified => Answer::not_understood(),
        }
    }

    pub(super) async fn release(&self, order: OrderId) -> Answer {
        let request = command(order, Undo::Release.as_str());
        match outcome_of(self.client.clone().release(request).await) {
            Ok(CommandOutcome::AlreadyCommitted) => {
                Answer::new(Verdict::AlreadyCommitted, "already_committed")
            }
            Ok(outcome) => nothing_left(outcome),
            Err(answer) => answer,
        }
    }

    pub(super) async fn restock(&self, order: OrderId) -> Answer {
        let request = command(order, Undo::Restock.as_str());
        match outcome_of(self.client.clone().restock(request).await) {
            Ok(CommandOutcome::AlreadyCommitted) => Answer::not_understood(),
            Ok(outcome) => nothing_left(outcome),
            Err(answer) => answer,
        }
    }

    /// What became of a reservation or its commit.
    pub(super) async fn ask(&self, action: Action, order: OrderId) -> Asked {
        let request = GetReservationRequest {
            order_id: order.to_string(),
        };
        let state = match self.client.clone().get_reservation(request).await {
            Ok(reply) => reply.into_inner().state(),
            Err(status) => {
                let unclear = Answer::failed(&status);
                return Asked::Settled(Answer {
                    verdict: Verdict::Unclear,
                    ..unclear
                });
            }
        };
        let lost = || Answer::refused(CancelReason::ReservationExpired);
        Asked::Settled(match (state, action) {
            (ReservationState::None, Action::Reserve) => return Asked::NotDone,
            (ReservationState::Held, Action::Commit) => return Asked::NotDone,
            (ReservationState::Held | ReservationState::Committed, _) => Answer::done(),
            (
                ReservationState::None
                | ReservationState::Released
                | ReservationState::Expired
                | ReservationState::Restocked,
                _,
            ) => lost(),
            (ReservationState::Unspecified, _) => Answer::not_understood(),
        })
    }
}

fn command(order: OrderId, step: &str) -> CommandRequest {
    CommandRequest {
        command_id: command_id(order, step),
        order_id: order.to_string(),
    }
}

fn outcome_of(reply: Result<Response<CommandReply>, Status>) -> Result<CommandOutcome, Answer> {
    match reply {
        Ok(reply) => Ok(reply.into_inner().outcome()),
        Err(status) => Err(Answer::failed(&status)),
    }
}

/// Whatever the state was, the order holds and consumes nothing now.
fn nothing_left(outcome: CommandOutcome) -> Answer {
    match outcome {
        CommandOutcome::Unspecified => Answer::not_understood(),
        _ => Answer::done(),
    }
}

fn read_reserve(reply: &ReserveReply) -> Answer {
    match reply.outcome() {
        ReserveOutcome::Reserved => Answer::done(),
        ReserveOutcome::OutOfStock => Answer::new(
            Verdict::Refused(CancelReason::OutOfStock),
            describe_shortages(reply),
        ),
        ReserveOutcome::AlreadyReleased => Answer::refused(CancelReason::ReservationExpired),
        ReserveOutcome::Unspecified => Answer::not_understood(),
    }
}

/// Such as `out_of_stock: mozzarella (250 of 300)`.
fn describe_shortages(reply: &ReserveReply) -> String {
    let shortages = reply.shortages.iter().take(MAX_SHORTAGES);
    let named: Vec<String> = shortages
        .map(|short| format!("{} ({} of {})", short.sku, short.available, short.wanted))
        .collect();
    let more = if reply.shortages.len() > MAX_SHORTAGES {
        ", ..."
    } else {
        ""
    };
    format!("out_of_stock: {}{more}", named.join(", "))
}
