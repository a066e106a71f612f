//! The whole route list.

use actix_web::web;
use common::server::ServiceConfig;

use crate::app::AppState;

mod ledger;
mod payments;
mod reconciliation;
mod refunds;
mod wire;

/// Registers every route. Other services use gRPC.
pub(crate) fn configure(config: &mut ServiceConfig<'_>, state: &web::Data<AppState>) {
    config
        .app_data(state.clone())
        // For people and terminals.
        .service(payments::list)
        .service(ledger::balances)
        .service(payments::read)
        .service(refunds::create)
        // For other services and operators.
        .service(reconciliation::read);
}
