//! The commands of a saga to inventory-service and payment-service, and what their answers mean.
//!
//! Each command carries the order and the step as its identity, so that the receiver recognizes a
//! repeated one. A step whose outcome is in doubt is not repeated blindly: the neighbour is asked
//! first what it did.

use std::sync::Arc;

use common::auth::TokenSource;
use common::ids::{IntentId, OrderId};
use resilience::grpc::{ChannelParams, GrpcChannel};
use resilience::{Breaker, BreakerState, InvalidParams};
use tonic::{Code, Status};

use crate::domain::order::Order;
use crate::domain::saga::{Action, CancelReason, Undo, Verdict};
use crate::settings::SagaSettings;
use crate::store::sagas::StoredSaga;

mod inventory;
mod payment;

use inventory::Inventory;
use payment::Payment;

/// What an attempt at a step came to.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    /// A code or a few words for the timeline.
    pub(crate) detail: Option<String>,
    /// The payment, if the answer named it.
    pub(crate) intent_id: Option<IntentId>,
}

impl Answer {
    fn new(verdict: Verdict, detail: impl Into<String>) -> Self {
        Self {
            verdict,
            detail: Some(detail.into()),
            intent_id: None,
        }
    }

    const fn done() -> Self {
        Self {
            verdict: Verdict::Done,
            detail: None,
            intent_id: None,
        }
    }

    fn refused(reason: CancelReason) -> Self {
        Self::new(Verdict::Refused(reason), reason.as_str())
    }

    fn not_understood() -> Self {
        Self::new(Verdict::Unclear, "answer not understood")
    }

    /// A call without an answer of the protocol. Only codes that say "never" are taken for a
    /// refusal; what the network, a restart or a missing token can cause is unclear.
    fn failed(status: &Status) -> Self {
        let verdict = match status.code() {
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::OutOfRange => Verdict::Rejected,
            _ => Verdict::Unclear,
        };
        tracing::debug!(
            grpc.code = code_name(status.code()),
            grpc.message = status.message(),
            "a command of a saga failed"
        );
        Self::new(verdict, code_name(status.code()))
    }

    fn found_by_asking(mut self) -> Self {
        let detail = self.detail.unwrap_or_default();
        self.detail = Some(
            format!("asked: {detail}")
                .trim_end_matches([':', ' '])
                .to_owned(),
        );
        self
    }
}

/// What a neighbour says about a step that is in doubt.
#[derive(Clone, Debug)]
enum Asked {
    /// This is what became of it.
    Settled(Answer),
    /// It did not happen, but still can.
    NotDone,
}

/// The services that a saga commands.
#[derive(Clone)]
pub(crate) struct Neighbours {
    inventory: Inventory,
    payment: Payment,
    inventory_breaker: Breaker,
    payment_breaker: Breaker,
}

impl Neighbours {
    /// Connects lazily.
    ///
    /// # Errors
    /// When an address is no `http://` URL.
    pub(crate) fn try_new(
        inventory_url: &str,
        payment_url: &str,
        settings: &SagaSettings,
        tokens: &Arc<dyn TokenSource>,
    ) -> Result<Self, InvalidParams> {
        let params = ChannelParams {
            call_timeout: settings.step_timeout(),
            connect_timeout: settings
                .step_timeout()
                .min(ChannelParams::default().connect_timeout),
            ..ChannelParams::default()
        };
        let channel =
            |name, url: &str| GrpcChannel::try_new(name, url, params, Some(Arc::clone(tokens)));
        let inventory = channel("inventory", inventory_url)?;
        let payment = channel("payment", payment_url)?;
        Ok(Self {
            inventory_breaker: inventory.breaker().clone(),
            payment_breaker: payment.breaker().clone(),
            inventory: Inventory::new(inventory, settings.reservation_ttl_seconds),
            payment: Payment::new(payment),
        })
    }

    /// Whether inventory-service has been answering.
    pub(crate) fn check_inventory(&self) -> Result<(), String> {
        check(&self.inventory_breaker, "inventory-service")
    }

    /// Whether payment-service has been answering.
    pub(crate) fn check_payment(&self) -> Result<(), String> {
        check(&self.payment_breaker, "payment-service")
    }

    /// Takes a step forward. If it is in doubt whether it was taken before, asks first.
    pub(crate) async fn act(&self, action: Action, order: &Order, stored: &StoredSaga) -> Answer {
        if stored.saga.is_in_doubt() {
            let asked = match action {
                Action::Reserve | Action::Commit => self.inventory.ask(action, order.id).await,
                Action::Authorize | Action::Capture => self.payment.ask(action, order).await,
            };
            if let Asked::Settled(answer) = asked {
                return answer.found_by_asking();
            }
        }
        match action {
            Action::Reserve => self.inventory.reserve(order).await,
            Action::Commit => self.inventory.commit(order.id).await,
            Action::Authorize => self.payment.authorize(order, stored.token.as_ref()).await,
            Action::Capture => self.payment.capture(order, stored.saga.intent_id).await,
        }
    }

    /// Takes a step back. The protocol makes each of them valid in every state and repeatable, so
    /// there is nothing to ask first.
    pub(crate) async fn undo(&self, undo: Undo, order: &Order) -> Answer {
        match undo {
            Undo::Release => self.inventory.release(order.id).await,
            Undo::Restock => self.inventory.restock(order.id).await,
            Undo::Void => self.payment.void(order.id).await,
        }
    }
}

fn check(breaker: &Breaker, name: &str) -> Result<(), String> {
    match breaker.state() {
        BreakerState::Open => Err(format!("{name} has not been answering")),
        BreakerState::Closed | BreakerState::HalfOpen => Ok(()),
    }
}

/// The identity of a command: the saga (which has the order's id) and the step.
fn command_id(order: OrderId, step: &str) -> String {
    format!("{order}/{step}")
}

/// The name of a code as the gRPC documentation spells it, in lower case.
const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}
