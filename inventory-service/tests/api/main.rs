//! inventory-service as its neighbours see it: a real service on free ports with its own database.

mod catalog;
mod commands;
mod events;
mod harness;
mod hostile;
mod stock;
