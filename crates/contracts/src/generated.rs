//! Code that `build.rs` generates from `proto/`. The style of a generator is not ours to lint.

/// Commands of order-service to inventory-service; `proto/inventory.proto` has the meaning.
#[expect(
    clippy::allow_attributes,
    clippy::doc_markdown,
    clippy::missing_errors_doc,
    clippy::too_many_lines,
    reason = "generated"
)]
pub mod inventory_v1 {
    tonic::include_proto!("inventory.v1");
}

/// Commands of order-service to payment-service; `proto/payment.proto` has the meaning.
#[expect(
    clippy::allow_attributes,
    clippy::doc_markdown,
    clippy::missing_errors_doc,
    clippy::too_many_lines,
    reason = "generated"
)]
pub mod payment_v1 {
    tonic::include_proto!("payment.v1");
}

/// What the other services ask user-service; `proto/user.proto` has the meaning.
#[expect(
    clippy::allow_attributes,
    clippy::doc_markdown,
    clippy::missing_errors_doc,
    clippy::too_many_lines,
    reason = "generated"
)]
pub mod user_v1 {
    tonic::include_proto!("user.v1");
}
