//! Payments as they are sent.

use common::ids::{IntentId, OrderId, StoreId};
use common::money::Money;
use common::time::Timestamp;
use serde::Serialize;

use crate::domain::intent::{Intent, IntentState, Method};
use crate::domain::operation::{Kind, Operation, OperationId, OperationState};
use crate::store::listing::Listed;

/// Where a payment stands.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum StateOut {
    Authorizing,
    Authorized,
    Declined,
    Capturing,
    Captured,
    /// The provider refused to take what it had set aside.
    Failed,
    Voiding,
    Voided,
    PartiallyRefunded,
    Refunded,
    /// The provider's answer was lost; it is being asked.
    Unknown,
}

/// How the guest pays.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum MethodOut {
    Card,
    Cash,
}

/// What a provider was asked to do.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum KindOut {
    Authorize,
    Capture,
    Void,
    Refund,
}

/// What is known of a request to the provider.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum StatusOut {
    /// About to be sent, or under way.
    Pending,
    /// The answer was lost; the provider is being asked.
    Unknown,
    Succeeded,
    Declined,
    /// Never done, and not wanted any more.
    Abandoned,
}

/// A payment of an order.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct PaymentOut {
    id: IntentId,
    order_id: OrderId,
    store_id: StoreId,
    /// From 1: an order whose card was declined may be paid with another.
    attempt: i64,
    method: MethodOut,
    state: StateOut,
    amount: Money,
    captured: Money,
    refunded: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// A payment with everything that was asked of the provider for it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct PaymentDetailOut {
    #[serde(flatten)]
    payment: PaymentOut,
    /// Oldest first; refunds stand in `refunds` too.
    operations: Vec<OperationOut>,
    /// Oldest first.
    refunds: Vec<RefundOut>,
}

/// Something that the provider was asked to do; for cash, what happened at the drawer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct OperationOut {
    /// The key under which the provider knows it.
    #[schema(value_type = String, format = Uuid)]
    id: OperationId,
    kind: KindOut,
    status: StatusOut,
    amount: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<String>,
    /// How often it was sent.
    sends: i64,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    settled_at: Option<Timestamp>,
}

/// A refund.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct RefundOut {
    #[schema(value_type = String, format = Uuid)]
    id: OperationId,
    payment_id: IntentId,
    amount: Money,
    status: StatusOut,
    /// Absent when the order was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<String>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    settled_at: Option<Timestamp>,
}

impl StateOut {
    const fn of(state: IntentState, is_unknown: bool) -> Self {
        match state {
            IntentState::Authorizing | IntentState::Capturing | IntentState::Voiding
                if is_unknown =>
            {
                Self::Unknown
            }
            IntentState::Authorizing => Self::Authorizing,
            IntentState::Authorized => Self::Authorized,
            IntentState::Declined => Self::Declined,
            IntentState::Capturing => Self::Capturing,
            IntentState::Captured => Self::Captured,
            IntentState::Failed => Self::Failed,
            IntentState::Voiding => Self::Voiding,
            IntentState::Voided => Self::Voided,
            IntentState::PartiallyRefunded => Self::PartiallyRefunded,
            IntentState::Refunded => Self::Refunded,
        }
    }
}

impl From<Method> for MethodOut {
    fn from(method: Method) -> Self {
        match method {
            Method::Card => Self::Card,
            Method::Cash => Self::Cash,
        }
    }
}

impl From<Kind> for KindOut {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Authorize => Self::Authorize,
            Kind::Capture => Self::Capture,
            Kind::Void => Self::Void,
            Kind::Refund => Self::Refund,
        }
    }
}

impl From<OperationState> for StatusOut {
    fn from(state: OperationState) -> Self {
        match state {
            OperationState::Pending => Self::Pending,
            OperationState::Unknown => Self::Unknown,
            OperationState::Succeeded => Self::Succeeded,
            OperationState::Declined => Self::Declined,
            OperationState::Abandoned => Self::Abandoned,
        }
    }
}

impl From<Listed> for PaymentOut {
    fn from(listed: Listed) -> Self {
        let Intent {
            amount,
            captured,
            refunded,
            ..
        } = listed.intent;
        Self {
            id: listed.intent.id,
            order_id: listed.intent.order_id,
            store_id: listed.intent.store_id,
            attempt: listed.intent.attempt,
            method: listed.intent.method.into(),
            state: StateOut::of(listed.intent.state, listed.is_unknown),
            amount,
            captured: Money::new(captured, amount.currency),
            refunded: Money::new(refunded, amount.currency),
            decline_code: listed.intent.decline_code,
            created_at: listed.intent.created_at,
            updated_at: listed.intent.updated_at,
        }
    }
}

impl PaymentDetailOut {
    pub(super) fn new(listed: Listed, operations: Vec<Operation>) -> Self {
        let refunds = operations
            .iter()
            .filter(|operation| operation.kind == Kind::Refund)
            .cloned();
        Self {
            payment: listed.into(),
            refunds: refunds.map(RefundOut::from).collect(),
            operations: operations.into_iter().map(OperationOut::from).collect(),
        }
    }
}

impl From<Operation> for OperationOut {
    fn from(operation: Operation) -> Self {
        Self {
            id: operation.id,
            kind: operation.kind.into(),
            status: operation.state.into(),
            amount: operation.amount,
            decline_code: operation.code,
            sends: operation.sends,
            created_at: operation.created_at,
            settled_at: operation.settled_at,
        }
    }
}

impl From<Operation> for RefundOut {
    fn from(operation: Operation) -> Self {
        Self {
            id: operation.id,
            payment_id: operation.intent_id,
            amount: operation.amount,
            status: operation.state.into(),
            reason: operation.reason,
            decline_code: operation.code,
            created_at: operation.created_at,
            settled_at: operation.settled_at,
        }
    }
}
