//! The whole route list.

use actix_web::web;
use common::server::ServiceConfig;

use crate::app::AppState;

mod cancel;
mod import;
mod menu;
mod operate;
mod orders;
mod place;
mod stores;
mod timeline;

/// Registers every route. All of them are for people and terminals.
pub(crate) fn configure(config: &mut ServiceConfig<'_>, state: &web::Data<AppState>) {
    config
        .app_data(state.clone())
        .service(stores::create)
        .service(stores::list)
        .service(stores::read)
        .service(menu::save)
        .service(menu::list)
        .service(menu::read)
        .service(place::place)
        .service(orders::list)
        .service(import::import)
        // Before the routes with an id in this place.
        .service(operate::list)
        .service(orders::read)
        .service(timeline::read)
        .service(cancel::cancel)
        .service(operate::redrive);
}
