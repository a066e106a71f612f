//! The whole route list.

use actix_web::web;
use common::server::ServiceConfig;

use crate::app::AppState;

mod corrections;
mod products;
mod receipts;
mod recipes;
mod reservations;
mod stock;

/// Registers every route. All of them are for people and terminals; other services use gRPC.
pub(crate) fn configure(config: &mut ServiceConfig<'_>, state: &web::Data<AppState>) {
    config
        .app_data(state.clone())
        .service(products::list)
        .service(products::save)
        .service(products::read)
        .service(recipes::read)
        .service(recipes::save)
        .service(receipts::create)
        .service(corrections::waste)
        .service(corrections::count)
        .service(stock::balances)
        .service(stock::lots)
        .service(stock::movements)
        .service(reservations::read);
}
