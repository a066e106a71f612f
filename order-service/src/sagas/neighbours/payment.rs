//! payment-service: setting the money of an order aside, taking it and giving it back.

use common::ids::{IntentId, OrderId};
use contracts::payment_v1::payment_commands_client::PaymentCommandsClient;
use contracts::payment_v1::{
    AuthorizeOutcome, AuthorizeReply, AuthorizeRequest, CaptureOutcome, CaptureRequest,
    GetIntentReply, GetIntentRequest, IntentState, VoidOutcome, VoidRequest,
};
use contracts::wire::PROVIDER_UNAVAILABLE;
use resilience::grpc::GrpcChannel;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Answer, Asked, command_id};
use crate::domain::order::Order;
use crate::domain::payment::Method;
use crate::domain::saga::{Action, CancelReason, Undo, Verdict};

#[derive(Clone)]
pub(super) struct Payment {
    client: PaymentCommandsClient<GrpcChannel>,
}

impl Payment {
    pub(super) fn new(channel: GrpcChannel) -> Self {
        Self {
            client: PaymentCommandsClient::new(channel),
        }
    }

    pub(super) async fn authorize(&self, order: &Order, token: Option<&SecretString>) -> Answer {
        let token = token.map(|token| token.expose_secret().to_owned());
        let request = AuthorizeRequest {
            command_id: command_id(order.id, Action::Authorize.as_str()),
            order_id: order.id.to_string(),
            store_id: order.store_id.to_string(),
            amount: order.total.amount,
            currency: order.total.currency.to_string(),
            method: order
                .method
                .map(Method::as_str)
                .unwrap_or_default()
                .to_owned(),
            token: token.unwrap_or_default(),
        };
        match self.client.clone().authorize(request).await {
            Ok(reply) => read_authorize(&reply.into_inner()),
            Err(status) => Answer::failed(&status),
        }
    }

    pub(super) async fn capture(&self, order: &Order, intent: Option<IntentId>) -> Answer {
        let Some(intent) = intent else {
            // The answer that authorized the payment named it, and both were written together.
            return Answer::new(Verdict::Rejected, "intent_unknown");
        };
        let request = CaptureRequest {
            command_id: command_id(order.id, Action::Capture.as_str()),
            intent_id: intent.to_string(),
        };
        let outcome = match self.client.clone().capture(request).await {
            Ok(reply) => reply.into_inner().outcome(),
            Err(status) => return Answer::failed(&status),
        };
        match outcome {
            CaptureOutcome::Captured => Answer::done(),
            CaptureOutcome::Failed | CaptureOutcome::NotFound => {
                Answer::refused(CancelReason::PaymentFailed)
            }
            CaptureOutcome::Unknown => Answer::new(Verdict::Unclear, "provider unknown"),
            CaptureOutcome::Unspecified => Answer::not_understood(),
        }
    }

    pub(super) async fn void(&self, order: OrderId) -> Answer {
        let request = VoidRequest {
            command_id: command_id(order, Undo::Void.as_str()),
            order_id: order.to_string(),
        };
        let outcome = match self.client.clone().void(request).await {
            Ok(reply) => reply.into_inner().outcome(),
            Err(status) => return Answer::failed(&status),
        };
        match outcome {
            VoidOutcome::Voided => Answer::done(),
            VoidOutcome::Refunded => Answer::new(Verdict::Done, "refunded"),
            VoidOutcome::Unknown => Answer::new(Verdict::Unclear, "provider unknown"),
            VoidOutcome::Unspecified => Answer::not_understood(),
        }
    }

    /// What became of an authorization or its capture.
    pub(super) async fn ask(&self, action: Action, order: &Order) -> Asked {
        let request = GetIntentRequest {
            order_id: order.id.to_string(),
        };
        let reply = match self.client.clone().get_intent(request).await {
            Ok(reply) => reply.into_inner(),
            Err(status) => {
                let unclear = Answer::failed(&status);
                return Asked::Settled(Answer {
                    verdict: Verdict::Unclear,
                    ..unclear
                });
            }
        };
        read_intent(action, order, &reply)
    }
}

fn read_authorize(reply: &AuthorizeReply) -> Answer {
    match reply.outcome() {
        AuthorizeOutcome::Authorized => done_with_intent(&reply.intent_id),
        AuthorizeOutcome::Declined => declined(&reply.decline_code),
        AuthorizeOutcome::Unknown => Answer::new(Verdict::Unclear, "provider unknown"),
        AuthorizeOutcome::Voided => Answer::refused(CancelReason::PaymentUnavailable),
        AuthorizeOutcome::Unspecified => Answer::not_understood(),
    }
}

fn read_intent(action: Action, order: &Order, reply: &GetIntentReply) -> Asked {
    let differs = reply.authorized_amount != order.total.amount
        || reply.currency != order.total.currency.as_str();
    Asked::Settled(match (reply.state(), action) {
        (IntentState::None, Action::Authorize) => return Asked::NotDone,
        (IntentState::Authorized, _) if differs => Answer::new(Verdict::Rejected, "amount_differs"),
        (IntentState::Authorized, Action::Capture) => return Asked::NotDone,
        (IntentState::Authorized | IntentState::Captured | IntentState::PartiallyRefunded, _) => {
            done_with_intent(&reply.intent_id)
        }
        (IntentState::Unspecified, _) => Answer::not_understood(),
        (IntentState::Unknown, _) => Answer::new(Verdict::Unclear, "provider unknown"),
        (IntentState::Declined, Action::Authorize) => declined(&reply.decline_code),
        (_, Action::Authorize) => Answer::refused(CancelReason::PaymentUnavailable),
        _ => Answer::refused(CancelReason::PaymentFailed),
    })
}

fn done_with_intent(intent_id: &str) -> Answer {
    match intent_id.parse() {
        Ok(intent_id) => Answer {
            intent_id: Some(intent_id),
            ..Answer::done()
        },
        Err(_unreadable) => Answer::not_understood(),
    }
}

fn declined(code: &str) -> Answer {
    match code {
        PROVIDER_UNAVAILABLE => Answer::refused(CancelReason::PaymentUnavailable),
        "" => Answer::refused(CancelReason::PaymentDeclined),
        code => Answer::new(Verdict::Refused(CancelReason::PaymentDeclined), code),
    }
}
