//! The whole route list.

use actix_web::web;
use common::server::ServiceConfig;

use crate::app::AppState;

mod rebuild;
mod sales;

/// Registers every route.
pub(crate) fn configure(config: &mut ServiceConfig<'_>, state: &web::Data<AppState>) {
    config
        .app_data(state.clone())
        // For people.
        .service(sales::summary)
        .service(sales::breakdown)
        // For operators.
        .service(rebuild::compare)
        .service(rebuild::replace);
}
