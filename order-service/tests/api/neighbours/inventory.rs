//! The stock of every order.

use contracts::inventory_v1::inventory_commands_server::InventoryCommands;
use contracts::inventory_v1::{
    CommandOutcome, CommandReply, CommandRequest, GetReservationReply, GetReservationRequest,
    ReservationState, ReserveOutcome, ReserveReply, ReserveRequest, Shortage,
};
use tonic::{Request, Response, Status};

use super::{Books, Trouble, World};

pub(super) struct Inventory(pub(super) World);

#[tonic::async_trait]
impl InventoryCommands for Inventory {
    async fn reserve(
        &self,
        request: Request<ReserveRequest>,
    ) -> Result<Response<ReserveReply>, Status> {
        let message = request.into_inner();
        let lines: Vec<(String, i64)> = message
            .lines
            .iter()
            .map(|line| (line.item_id.clone(), line.quantity))
            .collect();
        assert!(message.ttl_seconds > 0, "a hold without an end");
        let handle = |books: &mut Books, trouble| {
            books.store_date.clone_from(&message.store_date);
            reserve(books, &lines, trouble)
        };
        let step = ("reserve", message.command_id.as_str());
        let reply = self.0.call(step, &message.order_id, handle).await?;
        Ok(Response::new(reply))
    }

    async fn commit(
        &self,
        request: Request<CommandRequest>,
    ) -> Result<Response<CommandReply>, Status> {
        self.command("commit", request, commit).await
    }

    async fn release(
        &self,
        request: Request<CommandRequest>,
    ) -> Result<Response<CommandReply>, Status> {
        self.command("release", request, |books, _| release(books))
            .await
    }

    async fn restock(
        &self,
        request: Request<CommandRequest>,
    ) -> Result<Response<CommandReply>, Status> {
        let restock = |books: &mut Books, _| {
            books.restocked |= books.committed;
            books.committed = false;
            CommandOutcome::Done
        };
        self.command("restock", request, restock).await
    }

    async fn get_reservation(
        &self,
        request: Request<GetReservationRequest>,
    ) -> Result<Response<GetReservationReply>, Status> {
        let order = request.into_inner().order_id;
        let ask = |books: &mut Books, _| state_of(books);
        let state = self.0.call(("get_reservation", ""), &order, ask).await?;
        Ok(Response::new(GetReservationReply {
            state: state.into(),
            reservation_id: order,
        }))
    }
}

impl Inventory {
    async fn command(
        &self,
        step: &'static str,
        request: Request<CommandRequest>,
        handle: impl Fn(&mut Books, Option<Trouble>) -> CommandOutcome,
    ) -> Result<Response<CommandReply>, Status> {
        let message = request.into_inner();
        let call = (step, message.command_id.as_str());
        let outcome = self.0.call(call, &message.order_id, handle).await?;
        Ok(Response::new(CommandReply {
            outcome: outcome.into(),
        }))
    }
}

fn reserve(books: &mut Books, lines: &[(String, i64)], trouble: Option<Trouble>) -> ReserveReply {
    if trouble == Some(Trouble::Refuse) {
        return ReserveReply {
            outcome: ReserveOutcome::OutOfStock.into(),
            shortages: vec![Shortage {
                sku: "mozzarella".to_owned(),
                wanted: 300,
                available: 250,
                ..Shortage::default()
            }],
            ..ReserveReply::default()
        };
    }
    if books.released {
        return ReserveReply {
            outcome: ReserveOutcome::AlreadyReleased.into(),
            ..ReserveReply::default()
        };
    }
    books.held = !books.committed;
    books.reserved_lines = lines.to_vec();
    ReserveReply {
        outcome: ReserveOutcome::Reserved.into(),
        reservation_id: "r".to_owned(),
        ..ReserveReply::default()
    }
}

fn commit(books: &mut Books, trouble: Option<Trouble>) -> CommandOutcome {
    if trouble == Some(Trouble::Refuse) {
        (books.held, books.expired) = (false, true);
    }
    match books {
        Books {
            committed: true, ..
        }
        | Books {
            restocked: true, ..
        } => CommandOutcome::Done,
        Books { expired: true, .. } => CommandOutcome::Expired,
        Books { released: true, .. } => CommandOutcome::AlreadyReleased,
        Books { held: true, .. } => {
            (books.held, books.committed) = (false, true);
            CommandOutcome::Done
        }
        _ => CommandOutcome::NotFound,
    }
}

fn release(books: &mut Books) -> CommandOutcome {
    if books.committed {
        return CommandOutcome::AlreadyCommitted;
    }
    (books.held, books.released) = (false, true);
    CommandOutcome::Done
}

fn state_of(books: &Books) -> ReservationState {
    match books {
        Books { held: true, .. } => ReservationState::Held,
        Books {
            committed: true, ..
        } => ReservationState::Committed,
        Books {
            restocked: true, ..
        } => ReservationState::Restocked,
        Books { expired: true, .. } => ReservationState::Expired,
        Books { released: true, .. } => ReservationState::Released,
        _ => ReservationState::None,
    }
}
