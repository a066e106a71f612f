//! What the services say to each other, and nothing else: event payloads with their routing
//! table ([`events`]), the gRPC commands of the order path ([`inventory_v1`], [`payment_v1`]) and calls
//! about accounts ([`user_v1`]), with the conversions of their fields ([`wire`]), the names and ports of
//! the services ([`services`]), and the audit trail with how it is checked ([`audit`]). No behaviour of
//! any service lives here.

pub mod audit;
pub mod events;
mod generated;
pub mod services;
pub mod wire;

pub use events::{EventPayload, is_told_by, subscribers};
pub use generated::{inventory_v1, payment_v1, user_v1};
