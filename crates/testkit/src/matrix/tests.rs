//! The matrix must be able to fail: each kind of wrong route is built into a small service, beside
//! right ones.

use actix_web::{HttpResponse, get, post, web};
use common::auth::{Permit, Principal, ServiceIdentity, access, permits};
use common::clock::Clock;
use common::error::ApiError;
use common::extract::{Check, Faults, PathId, Valid, ValidQuery};
use common::health::Health;
use common::ids::{OrderId, StoreId};
use common::server::ServiceConfig;
use common::server::{RunningServer, ServerParts, describe};
use common::settings::ServerSettings;
use serde::Deserialize;
use serde_json::json;

use super::*;

/// The two stores with one order each.
#[derive(Clone, Copy)]
struct World {
    own: StoreId,
    foreign: StoreId,
    order: OrderId,
    foreign_order: OrderId,
}

impl World {
    fn new() -> Self {
        let clock = Clock::system();
        Self {
            own: StoreId::new(&clock),
            foreign: StoreId::new(&clock),
            order: OrderId::new(&clock),
            foreign_order: OrderId::new(&clock),
        }
    }

    fn store_of(&self, order: OrderId) -> Result<StoreId, ApiError> {
        match order {
            _ if order == self.order => Ok(self.own),
            _ if order == self.foreign_order => Ok(self.foreign),
            _ => Err(ApiError::not_found("order")),
        }
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
struct OrderIn {
    store_id: StoreId,
}

impl Check for OrderIn {
    fn check(&self, _: &mut Faults) {}
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct OrdersQuery {
    store_id: Option<StoreId>,
}

impl Check for OrdersQuery {
    fn check(&self, _: &mut Faults) {}
}

type Handled = Result<HttpResponse, ApiError>;

#[access(body.store_id)]
#[utoipa::path(request_body = OrderIn, responses((status = 201)))]
#[post("/api/right")]
async fn right(auth: Permit<permits::OrdersCreate>, body: Valid<OrderIn>) -> Handled {
    auth.require_store(body.store_id)?;
    Ok(HttpResponse::Created().finish())
}

#[access(query.store_id)]
#[utoipa::path(params(OrdersQuery), responses((status = 200)))]
#[get("/api/right")]
async fn right_list(auth: Permit<permits::OrdersRead>, query: ValidQuery<OrdersQuery>) -> Handled {
    let stores = auth.visible_stores(query.store_id)?;
    Ok(HttpResponse::Ok().json(json!({ "stores": stores })))
}

#[access(object)]
#[utoipa::path(params(("id" = OrderId, Path)), responses((status = 200)))]
#[get("/api/right/{id}")]
async fn right_object(
    auth: Permit<permits::OrdersRead>,
    world: web::Data<World>,
    id: PathId<OrderId>,
) -> Handled {
    auth.require_store(world.store_of(id.0)?)?;
    Ok(HttpResponse::Ok().json(json!({ "id": id.0 })))
}

#[access(caller)]
#[utoipa::path(responses((status = 200)))]
#[get("/api/right-me")]
async fn right_me(caller: Principal) -> Handled {
    Ok(HttpResponse::Ok().json(json!({ "subject": caller.subject })))
}

#[access(chain)]
#[utoipa::path(responses((status = 200)))]
#[get("/internal/right")]
async fn right_service(caller: ServiceIdentity) -> Handled {
    Ok(HttpResponse::Ok().json(json!({ "name": caller.name })))
}

#[access(public)]
#[utoipa::path(responses((status = 200)))]
#[get("/api/right-public")]
async fn right_public() -> Handled {
    Ok(HttpResponse::Ok().finish())
}

/// Takes a foreign store.
#[access(body.store_id)]
#[utoipa::path(request_body = OrderIn, responses((status = 201)))]
#[post("/api/wrong/store")]
async fn wrong_store(_auth: Permit<permits::OrdersCreate>, _body: Valid<OrderIn>) -> Handled {
    Ok(HttpResponse::Created().finish())
}

/// Lists every store's when none is named.
#[access(query.store_id)]
#[utoipa::path(params(OrdersQuery), responses((status = 200)))]
#[get("/api/wrong/list")]
async fn wrong_list(
    auth: Permit<permits::OrdersRead>,
    world: web::Data<World>,
    query: ValidQuery<OrdersQuery>,
) -> Handled {
    let _stores = auth.visible_stores(query.store_id)?;
    let all = [world.order, world.foreign_order];
    let shown = if query.store_id.is_some() {
        &all[..1]
    } else {
        &all[..]
    };
    Ok(HttpResponse::Ok().json(json!({ "orders": shown })))
}

/// Shows a foreign store's object.
#[access(object)]
#[utoipa::path(params(("id" = OrderId, Path)), responses((status = 200)))]
#[get("/api/wrong/{id}")]
async fn wrong_object(_auth: Permit<permits::OrdersRead>, _id: PathId<OrderId>) -> Handled {
    Ok(HttpResponse::Ok().finish())
}

/// Asks for less than a refusal of its own lets through.
#[access(chain)]
#[utoipa::path(responses((status = 200)))]
#[get("/api/wrong/owners-only")]
async fn wrong_role(auth: Permit<permits::MenuRead>) -> Handled {
    match auth.roles.contains(&Role::Owner) {
        true => Ok(HttpResponse::Ok().finish()),
        false => Err(ApiError::forbidden()),
    }
}

/// Says that it is public and is not.
#[access(public)]
#[utoipa::path(responses((status = 200)))]
#[get("/api/wrong/public")]
async fn wrong_public(_auth: Permit<permits::MenuRead>) -> Handled {
    Ok(HttpResponse::Ok().finish())
}

/// Says nothing.
#[utoipa::path(responses((status = 200)))]
#[get("/api/wrong/undeclared")]
async fn wrong_undeclared() -> Handled {
    Ok(HttpResponse::Ok().finish())
}

/// Has an object that the test did not make.
#[access(object)]
#[utoipa::path(params(("id" = OrderId, Path)), responses((status = 200)))]
#[get("/api/wrong/{id}/unseeded")]
async fn wrong_unseeded(_auth: Permit<permits::OrdersRead>, _id: PathId<OrderId>) -> Handled {
    Ok(HttpResponse::Ok().finish())
}

async fn report_on(routes: fn(&mut ServiceConfig<'_>)) -> Report {
    let world = World::new();
    let identity = TestIdentity::new();
    let settings = ServerSettings {
        host: "127.0.0.1".to_owned(),
        port: 0,
        grpc_port: 0,
        workers: 1,
        shutdown_grace_ms: 0,
    };
    let parts = ServerParts {
        settings,
        health: Health::builder("test", "1").build(),
        verifier: identity.verifier(),
        openapi: describe("test", "test", "0"),
    };
    let server: RunningServer = common::server::start(parts, move |config| {
        config.app_data(web::Data::new(world));
        routes(config);
    })
    .unwrap();
    let client = ApiClient::new(format!("http://{}", server.address()));
    let document = client.get("/openapi.json").await.expect(200);
    let (own, foreign) = (world.order, world.foreign_order);
    Matrix::new(world.own, world.foreign)
        .object("/api/right/{id}", own, foreign)
        .object("/api/wrong/{id}", own, foreign)
        .run(&client, &document, &identity)
        .await
}

#[tokio::test]
async fn right_routes_have_no_wrong_answer() {
    let report = report_on(|config| {
        config
            .service(right)
            .service(right_list)
            .service(right_object)
            .service(right_me)
            .service(right_service)
            .service(right_public);
    })
    .await;
    report.assert_clean();
    report.assert_table(
        "POST /api/right: orders:create, body.store_id
         GET /api/right: orders:read, query.store_id
         GET /api/right/{id}: orders:read, object
         GET /api/right-me: signed_in, caller
         GET /api/right-public: public, public
         GET /internal/right: service, chain",
    );
    // Twelve callers; own and foreign for three, without a name for one of these.
    assert_eq!(report.requests, 12 * (6 + 3 + 1));
}

#[tokio::test]
async fn every_kind_of_wrong_route_is_found() {
    let report = report_on(|config| {
        config
            .service(wrong_store)
            .service(wrong_list)
            .service(wrong_role)
            .service(wrong_public)
            .service(wrong_undeclared)
            .service(wrong_unseeded)
            .service(wrong_object);
    })
    .await;
    let found = |start: &str, end: &str| {
        let mut violations = report.violations.iter();
        violations.any(|text| text.starts_with(start) && text.contains(end))
    };
    for (start, end) in [
        ("POST /api/wrong/store, Crew, foreign store", "answered 201"),
        (
            "GET /api/wrong/list, Crew, no store named",
            "a foreign store's",
        ),
        ("GET /api/wrong/{id}, Crew, foreign store", "answered 200"),
        (
            "GET /api/wrong/owners-only, Crew, own store",
            "answered 403",
        ),
        ("GET /api/wrong/public, nobody, own store", "answered 401"),
        ("GET /api/wrong/undeclared", "#[access(..)] is missing"),
        ("GET /api/wrong/{id}/unseeded", "needs an object"),
    ] {
        assert!(found(start, end), "{start} is not found in {report}");
    }
}

#[test]
fn a_table_that_differs_from_the_service_is_found() {
    let mut report = Report::default();
    report
        .table
        .insert("GET /api/a: menu:read, chain".to_owned());
    report.assert_table("\n  GET /api/a: menu:read, chain\n");
    for reviewed in [
        "",
        "GET /api/a: menu:write, chain",
        "GET /api/a: menu:read, chain\nGET /api/b: public, public",
    ] {
        let outcome = std::panic::catch_unwind(|| report.assert_table(reviewed));
        assert!(outcome.is_err(), "{reviewed}");
    }
}
