//! payment-service as its neighbours see it: a real service on free ports with its own database.

mod access;
mod batches;
mod cards;
mod commands;
mod crash;
mod events;
mod harness;
mod hostile;
mod reading;
mod reconciliation;
mod refunds;
mod tokens;
