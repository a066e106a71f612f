//! order-service as its clients and neighbours see it: a real service on a free port with its own
//! database, between scripted stand-ins for inventory-service and payment-service.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod access;
mod cancel;
mod crash;
mod harness;
mod hostile;
mod import;
mod menu;
mod neighbours;
mod operate;
mod orders;
mod place;
mod process;
mod sagas;
mod stores;
