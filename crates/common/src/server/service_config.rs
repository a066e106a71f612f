//! Routes are entered twice: to be served, and in the OpenAPI document.
//!
//! Describing the routes takes several times the memory of the finished document. A service that
//! nobody asks for its document never spends it.

use std::fmt;

use actix_web::dev::HttpServiceFactory;
use actix_web::{Route, web};
use utoipa::openapi::path::Paths;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{OpenApi, RefOr};
use utoipa_actix_web::OpenApiFactory;

/// Where a service enters its routes.
pub struct ServiceConfig<'a>(Target<'a>);

enum Target<'a> {
    Server(&'a mut web::ServiceConfig),
    Document(&'a mut Described),
}

#[derive(Default)]
struct Described {
    paths: Paths,
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl<'a> ServiceConfig<'a> {
    /// Enters routes to be served.
    pub const fn new(server: &'a mut web::ServiceConfig) -> Self {
        Self(Target::Server(server))
    }

    /// Adds an operation.
    pub fn service<F>(&mut self, factory: F) -> &mut Self
    where
        F: HttpServiceFactory + OpenApiFactory + 'static,
    {
        match &mut self.0 {
            Target::Server(server) => {
                server.service(factory);
            }
            Target::Document(described) => describe_one(described, factory),
        }
        self
    }

    /// Adds a route that stands in no document.
    pub fn route(&mut self, path: &str, route: Route) -> &mut Self {
        if let Target::Server(server) = &mut self.0 {
            server.route(path, route);
        }
        self
    }

    /// Shares something with the handlers.
    pub fn app_data<T: 'static>(&mut self, data: T) -> &mut Self {
        if let Target::Server(server) = &mut self.0 {
            server.app_data(data);
        }
        self
    }

    /// Has `enter` add routes.
    pub fn configure(&mut self, enter: impl FnOnce(&mut ServiceConfig<'_>)) -> &mut Self {
        enter(self);
        self
    }
}

impl fmt::Debug for ServiceConfig<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceConfig").finish_non_exhaustive()
    }
}

/// A service's descriptions are a good part of its code, and most processes never run it: kept apart
/// from the rest it is not even read from the disk.
#[cold]
#[inline(never)]
fn describe_one(described: &mut Described, factory: impl OpenApiFactory) {
    described.paths.merge(factory.paths());
    factory.schemas(&mut described.schemas);
}

/// The document of `routes`, with this head, as JSON.
///
/// # Errors
/// When the document is no JSON.
pub(super) fn describe(
    mut head: OpenApi,
    routes: impl Fn(&mut ServiceConfig<'_>),
) -> serde_json::Result<String> {
    let mut described = Described::default();
    routes(&mut ServiceConfig(Target::Document(&mut described)));
    head.paths.merge(described.paths);
    let components = head.components.get_or_insert_default();
    components.schemas.extend(described.schemas);
    head.to_json()
}
