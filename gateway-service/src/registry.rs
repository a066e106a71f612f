//! Service discovery: who runs where, and how it is. Services and operators register instances over
//! HTTP, in our own form or in Consul's; leases and checks keep the list true; the directory routes
//! by it.

mod api;
mod book;
mod checker;
mod consul;
mod entry;
mod keeper;
mod model;
mod preservation;
mod store;
mod watch;

use ::store::Migrator;

pub(crate) use api::{Discovery, label_of};
pub(crate) use book::Registry;
pub(crate) use checker::run as run_checks;
pub(crate) use keeper::keep;
pub(crate) use model::DiscoveryApi;

/// The schema of the gateway's database.
pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/gateway");
