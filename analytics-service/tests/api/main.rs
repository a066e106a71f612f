//! analytics-service as its neighbours see it: a real service on a free port with its own database.

mod events;
mod harness;
mod hostile;
mod reports;
