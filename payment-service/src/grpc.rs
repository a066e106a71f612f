//! The commands of the order path: gRPC `payment.v1.PaymentCommands`, for order-service only.

use common::card_number::identifier_holds_card_number;
use common::error::ApiError;
use common::ids::{IntentId, OrderId, StoreId};
use contracts::payment_v1::payment_commands_server::PaymentCommands;
use contracts::payment_v1::{
    AuthorizeOutcome, AuthorizeReply, AuthorizeRequest, CaptureOutcome, CaptureReply,
    CaptureRequest, GetIntentReply, GetIntentRequest, IntentState as WireState, VoidOutcome,
    VoidReply, VoidRequest,
};
use contracts::wire::{invalid, parse_id, parse_money};
use resilience::grpc::{Caller, status_of};
use tonic::{Request, Response, Status};

use crate::app::AppState;
use crate::app::authorize::{self, authorize};
use crate::app::capture::{self, capture};
use crate::app::status::status;
use crate::app::void::{self, void};
use crate::domain::intent::{Intent, IntentState, Method};
use crate::domain::token::Token;
use crate::error::UseCaseError;

/// Longest command id, in bytes.
const MAX_COMMAND_ID: usize = 200;
/// Largest amount of one payment, in minor units: sums of any number of them stay far from 64 bits.
const MAX_AMOUNT: i64 = 1_000_000_000_000;

/// Serves the commands.
pub(crate) struct Commands(pub(crate) AppState);

#[tonic::async_trait]
impl PaymentCommands for Commands {
    async fn authorize(
        &self,
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeReply>, Status> {
        let caller = Caller::of(&request)?.clone();
        let order = authorization(&request.into_inner())?;
        caller.require_store(order.store_id)?;
        let outcome = authorize(&self.0, order).await.map_err(refusal)?;
        Ok(Response::new(authorize_reply(outcome)))
    }

    async fn capture(
        &self,
        request: Request<CaptureRequest>,
    ) -> Result<Response<CaptureReply>, Status> {
        let message = request.into_inner();
        check_command_id(&message.command_id)?;
        let intent: IntentId = parse_id("intent_id", &message.intent_id)?;
        let outcome = match capture(&self.0, intent).await {
            Ok(capture::Outcome::Captured) => CaptureOutcome::Captured,
            Ok(capture::Outcome::Failed) => CaptureOutcome::Failed,
            Ok(capture::Outcome::Unknown) => CaptureOutcome::Unknown,
            Err(UseCaseError::NotFound) => CaptureOutcome::NotFound,
            Err(error) => return Err(refusal(error)),
        };
        Ok(Response::new(CaptureReply {
            outcome: outcome.into(),
        }))
    }

    async fn void(&self, request: Request<VoidRequest>) -> Result<Response<VoidReply>, Status> {
        let message = request.into_inner();
        check_command_id(&message.command_id)?;
        let order: OrderId = parse_id("order_id", &message.order_id)?;
        let outcome = match void(&self.0, order).await.map_err(refusal)? {
            void::Outcome::Voided => VoidOutcome::Voided,
            void::Outcome::Refunded => VoidOutcome::Refunded,
            void::Outcome::Unknown => VoidOutcome::Unknown,
        };
        Ok(Response::new(VoidReply {
            outcome: outcome.into(),
        }))
    }

    async fn get_intent(
        &self,
        request: Request<GetIntentRequest>,
    ) -> Result<Response<GetIntentReply>, Status> {
        let order: OrderId = parse_id("order_id", &request.get_ref().order_id)?;
        let intent = status(&self.0, order).await.map_err(refusal)?;
        let reply = match intent {
            Some(intent) => intent_reply(intent),
            None => GetIntentReply {
                state: WireState::None.into(),
                ..GetIntentReply::default()
            },
        };
        Ok(Response::new(reply))
    }
}

fn authorization(message: &AuthorizeRequest) -> Result<authorize::Request, Status> {
    check_command_id(&message.command_id)?;
    let store_id: StoreId = parse_id("store_id", &message.store_id)?;
    if !(1..=MAX_AMOUNT).contains(&message.amount) {
        return Err(invalid("amount", "is out of range"));
    }
    let method: Method = message
        .method
        .parse()
        .map_err(|_unknown| invalid("method", "is not one of card, cash"))?;
    Ok(authorize::Request {
        command_id: message.command_id.clone(),
        order_id: parse_id("order_id", &message.order_id)?,
        store_id,
        amount: parse_money("currency", message.amount, &message.currency)?,
        method,
        token: token(method, &message.token)?,
    })
}

fn token(method: Method, text: &str) -> Result<Option<Token>, Status> {
    match method {
        Method::Cash if text.is_empty() => Ok(None),
        Method::Cash => Err(invalid("token", "must be empty for cash")),
        Method::Card => match text.parse() {
            Ok(token) => Ok(Some(token)),
            Err(fault) => Err(invalid("token", &fault.to_string())),
        },
    }
}

/// Command ids are stored and logged.
fn check_command_id(id: &str) -> Result<(), Status> {
    let visible = id.bytes().all(|byte| byte.is_ascii_graphic());
    if !(1..=MAX_COMMAND_ID).contains(&id.len()) || !visible || identifier_holds_card_number(id) {
        return Err(invalid(
            "command_id",
            "must be 1 to 200 visible ASCII characters",
        ));
    }
    Ok(())
}

fn authorize_reply(outcome: authorize::Outcome) -> AuthorizeReply {
    let (outcome, intent, decline_code) = match outcome {
        authorize::Outcome::Authorized(id) => (AuthorizeOutcome::Authorized, Some(id), None),
        authorize::Outcome::Declined(id, code) => {
            (AuthorizeOutcome::Declined, Some(id), Some(code))
        }
        authorize::Outcome::Unknown(id) => (AuthorizeOutcome::Unknown, Some(id), None),
        authorize::Outcome::Voided => (AuthorizeOutcome::Voided, None, None),
    };
    AuthorizeReply {
        intent_id: intent.map(|id| id.to_string()).unwrap_or_default(),
        outcome: outcome.into(),
        decline_code: decline_code.unwrap_or_default(),
    }
}

fn intent_reply(intent: Intent) -> GetIntentReply {
    let state = match intent.state {
        IntentState::Authorizing | IntentState::Capturing | IntentState::Voiding => {
            WireState::Unknown
        }
        IntentState::Authorized => WireState::Authorized,
        IntentState::Declined => WireState::Declined,
        IntentState::Captured => WireState::Captured,
        IntentState::Failed => WireState::Failed,
        IntentState::Voided => WireState::Voided,
        IntentState::PartiallyRefunded => WireState::PartiallyRefunded,
        IntentState::Refunded => WireState::Refunded,
    };
    let is_set_aside = !matches!(
        intent.state,
        IntentState::Authorizing | IntentState::Declined | IntentState::Voided
    );
    GetIntentReply {
        state: state.into(),
        intent_id: intent.id.to_string(),
        currency: intent.amount.currency.to_string(),
        authorized_amount: if is_set_aside {
            intent.amount.amount
        } else {
            0
        },
        captured_amount: intent.captured,
        refunded_amount: intent.refunded,
        decline_code: intent.decline_code.unwrap_or_default(),
    }
}

fn refusal(error: UseCaseError) -> Status {
    status_of(&ApiError::from(error))
}
