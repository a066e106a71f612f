//! The money of every order. An order's intent has the order's own id.

use contracts::payment_v1::payment_commands_server::PaymentCommands;
use contracts::payment_v1::{
    AuthorizeOutcome, AuthorizeReply, AuthorizeRequest, CaptureOutcome, CaptureReply,
    CaptureRequest, GetIntentReply, GetIntentRequest, IntentState, VoidOutcome, VoidReply,
    VoidRequest,
};
use tonic::{Request, Response, Status};

use super::{Books, Trouble, World};

pub(super) struct Payment(pub(super) World);

#[tonic::async_trait]
impl PaymentCommands for Payment {
    async fn authorize(
        &self,
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeReply>, Status> {
        let message = request.into_inner();
        assert!(message.amount > 0, "a payment of nothing");
        let handle = |books: &mut Books, trouble| authorize(books, &message, trouble);
        let step = ("authorize", message.command_id.as_str());
        let outcome = self.0.call(step, &message.order_id, handle).await?;
        let declined = outcome == AuthorizeOutcome::Declined;
        Ok(Response::new(AuthorizeReply {
            intent_id: message.order_id.clone(),
            outcome: outcome.into(),
            decline_code: if declined { "insufficient_funds" } else { "" }.to_owned(),
        }))
    }

    async fn capture(
        &self,
        request: Request<CaptureRequest>,
    ) -> Result<Response<CaptureReply>, Status> {
        let message = request.into_inner();
        let step = ("capture", message.command_id.as_str());
        let outcome = self.0.call(step, &message.intent_id, capture).await?;
        Ok(Response::new(CaptureReply {
            outcome: outcome.into(),
        }))
    }

    async fn void(&self, request: Request<VoidRequest>) -> Result<Response<VoidReply>, Status> {
        let message = request.into_inner();
        let step = ("void", message.command_id.as_str());
        let outcome = self.0.call(step, &message.order_id, void).await?;
        Ok(Response::new(VoidReply {
            outcome: outcome.into(),
        }))
    }

    async fn get_intent(
        &self,
        request: Request<GetIntentRequest>,
    ) -> Result<Response<GetIntentReply>, Status> {
        let order = request.into_inner().order_id;
        let ask = |books: &mut Books, trouble| (state_of(books, trouble), books.clone());
        let (state, books) = self.0.call(("get_intent", ""), &order, ask).await?;
        Ok(Response::new(GetIntentReply {
            state: state.into(),
            intent_id: order,
            currency: "USD".to_owned(),
            authorized_amount: books.authorized.max(books.captured),
            captured_amount: books.captured,
            refunded_amount: books.refunded,
            decline_code: String::new(),
        }))
    }
}

fn authorize(
    books: &mut Books,
    message: &AuthorizeRequest,
    trouble: Option<Trouble>,
) -> AuthorizeOutcome {
    books.token.clone_from(&message.token);
    books.method.clone_from(&message.method);
    if trouble == Some(Trouble::Refuse) {
        books.declined = true;
    }
    if books.declined {
        return AuthorizeOutcome::Declined;
    }
    if books.voided {
        return AuthorizeOutcome::Voided;
    }
    if books.captured == 0 {
        books.authorized = message.amount;
    }
    if trouble == Some(Trouble::Unknown) {
        return AuthorizeOutcome::Unknown;
    }
    AuthorizeOutcome::Authorized
}

fn capture(books: &mut Books, trouble: Option<Trouble>) -> CaptureOutcome {
    match trouble {
        Some(Trouble::Refuse) => return CaptureOutcome::Failed,
        _ if books.voided => return CaptureOutcome::Failed,
        _ if books.captured > 0 => return CaptureOutcome::Captured,
        _ => {}
    }
    books.captured = books.authorized;
    books.authorized = 0;
    if trouble == Some(Trouble::Unknown) {
        return CaptureOutcome::Unknown;
    }
    CaptureOutcome::Captured
}

fn void(books: &mut Books, trouble: Option<Trouble>) -> VoidOutcome {
    if trouble == Some(Trouble::Unknown) {
        return VoidOutcome::Unknown;
    }
    (books.authorized, books.voided) = (0, true);
    if books.captured > 0 {
        books.refunded = books.captured;
        return VoidOutcome::Refunded;
    }
    VoidOutcome::Voided
}

fn state_of(books: &Books, trouble: Option<Trouble>) -> IntentState {
    match books {
        _ if trouble == Some(Trouble::Unknown) => IntentState::Unknown,
        Books { declined: true, .. } => IntentState::Declined,
        Books {
            voided: true,
            captured: 0,
            ..
        } => IntentState::Voided,
        Books { voided: true, .. } => IntentState::Refunded,
        Books { captured: 1.., .. } => IntentState::Captured,
        Books {
            authorized: 1.., ..
        } => IntentState::Authorized,
        _ => IntentState::None,
    }
}
