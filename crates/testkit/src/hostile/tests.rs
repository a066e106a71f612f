//! The driver must be able to fail: every defect that it looks for is built into a small service,
//! beside operations without a defect.

use std::future::pending;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, ResponseError as _, web};
use common::auth::{Permit, Principal, ServiceIdentity, permits};
use common::error::ApiError;
use common::extract::{Check, Faults, IdempotencyKey, PathId, Valid, ValidQuery, read_body};
use common::health::Health;
use common::ids::{OrderId, StoreId};
use common::page::{check_limit, decode_cursor};
use common::server::{RunningServer, ServerParts};
use common::settings::ServerSettings;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ThingIn {
    store_id: StoreId,
    name: String,
    lines: Vec<LineIn>,
    note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineIn {
    quantity: i64,
    unit: Unit,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Unit {
    Piece,
    Gram,
}

impl Check for ThingIn {
    fn check(&self, faults: &mut Faults) {
        faults.require_text(&self.name, "name", 100);
        for line in &self.lines {
            let fits = matches!(line.unit, Unit::Piece | Unit::Gram) && line.quantity > 0;
            faults.require(fits, "lines", "out_of_range", "from 1");
        }
        let short = self.note.as_ref().is_none_or(|note| note.len() < 100);
        faults.require(short, "note", "too_long", "at most 100");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ThingQuery {
    limit: Option<u32>,
    cursor: Option<String>,
    store_id: Option<StoreId>,
}

impl Check for ThingQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
        let nil = self.store_id.is_some_and(|id| id.as_uuid().is_nil());
        faults.require(!nil, "store_id", "nil", "must not be nil");
    }
}

async fn create(
    _: Permit<permits::OrdersCreate>,
    id: PathId<OrderId>,
    _: IdempotencyKey,
    body: Valid<ThingIn>,
) -> HttpResponse {
    HttpResponse::Created().json(json!({ "id": id.0, "store_id": body.store_id }))
}

async fn list(
    _: Permit<permits::OrdersRead>,
    query: ValidQuery<ThingQuery>,
) -> Result<HttpResponse, ApiError> {
    decode_cursor::<OrderId>(query.cursor.as_deref())?;
    Ok(HttpResponse::Ok().json(json!({ "items": [] })))
}

async fn deliver(_: ServiceIdentity, _: Valid<ThingIn>) -> HttpResponse {
    HttpResponse::Ok().json(json!({}))
}

async fn panics(_: Permit<permits::OrdersCreate>, body: Valid<ThingIn>) -> HttpResponse {
    assert!(body.lines.iter().all(|line| line.quantity < 1_000));
    HttpResponse::Ok().finish()
}

async fn lenient(_: Permit<permits::OrdersCreate>, body: web::Payload) -> HttpResponse {
    let body = read_body(&mut body.into_inner(), usize::MAX).await.unwrap();
    match serde_json::from_slice::<Value>(&body) {
        Ok(_) => HttpResponse::Ok().finish(),
        Err(_) => ApiError::malformed("malformed_json", "no").error_response(),
    }
}

async fn leaks(_: Permit<permits::OrdersRead>) -> HttpResponse {
    ApiError::conflict("no_database", "sqlx: os error 111").error_response()
}

async fn plain(_: Permit<permits::OrdersRead>) -> HttpResponse {
    HttpResponse::NotFound()
        .content_type("text/plain")
        .body("not here")
}

async fn hangs(request: HttpRequest) -> HttpResponse {
    if request.headers().get("authorization").is_none() {
        return pending().await;
    }
    ApiError::unauthenticated("token_invalid").error_response()
}

async fn echoes(_: Permit<permits::OrdersRead>, request: HttpRequest) -> HttpResponse {
    let sent = request.headers().get("authorization").unwrap();
    ApiError::conflict("echo", sent.to_str().unwrap()).error_response()
}

async fn admits_users(_: Result<Principal, ApiError>) -> HttpResponse {
    HttpResponse::Ok().finish()
}

async fn lies(_: Permit<permits::OrdersCreate>, body: Valid<Undocumented>) -> HttpResponse {
    HttpResponse::Ok().json(body.secret_handshake)
}

#[derive(Deserialize)]
struct Undocumented {
    secret_handshake: i64,
}

impl Check for Undocumented {
    fn check(&self, _: &mut Faults) {}
}

async fn refuses_without_delay(_: Permit<permits::OrdersRead>) -> HttpResponse {
    HttpResponse::ServiceUnavailable()
        .content_type("application/problem+json")
        .json(
            json!({"type": "about:blank", "title": "x", "detail": "x", "code": "x",
                     "request_id": "x", "status": 503}),
        )
}

#[expect(
    clippy::disallowed_methods,
    reason = "these operations have a document of their own, with defects"
)]
fn start(identity: &TestIdentity) -> (RunningServer, ApiClient) {
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
        openapi: Default::default(),
    };
    let server = common::server::start(parts, |config| {
        config
            .route("/api/things/{id}", web::post().to(create))
            .route("/api/things", web::get().to(list))
            .route("/internal/things", web::post().to(deliver))
            .route("/api/panics", web::post().to(panics))
            .route("/api/lenient", web::post().to(lenient))
            .route("/api/leaks", web::get().to(leaks))
            .route("/api/plain", web::get().to(plain))
            .route("/api/hangs", web::get().to(hangs))
            .route("/api/echoes", web::get().to(echoes))
            .route("/internal/admits-users", web::get().to(admits_users))
            .route("/api/lies", web::post().to(lies))
            .route("/api/impatient", web::get().to(refuses_without_delay));
    })
    .unwrap();
    let client = ApiClient::new(format!("http://{}", server.address()));
    (server, client)
}

fn document() -> Value {
    let thing = json!({"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ThingIn"}}}});
    let path_id = json!([{"name": "id", "in": "path", "required": true,
        "schema": {"type": "string", "format": "uuid"}},
        {"name": "Idempotency-Key", "in": "header", "required": true, "schema": {"type": "string"}}]);
    let query = json!([
        {"name": "limit", "in": "query", "schema": {"type": ["integer", "null"], "maximum": 200}},
        {"name": "cursor", "in": "query", "schema": {"type": ["string", "null"]}},
        {"name": "store_id", "in": "query", "schema": {"type": "string", "format": "uuid"}}]);
    json!({
        "paths": {
            "/health": {"get": {}},
            "/api/things/{id}": {"post": {"parameters": path_id, "requestBody": thing}},
            "/api/things": {"get": {"parameters": query}},
            "/internal/things": {"post": {"requestBody": thing}},
            "/api/panics": {"post": {"requestBody": thing}},
            "/api/lenient": {"post": {"requestBody": thing}},
            "/api/leaks": {"get": {}},
            "/api/plain": {"get": {}},
            "/api/hangs": {"get": {}},
            "/api/echoes": {"get": {}},
            "/internal/admits-users": {"get": {}},
            "/api/lies": {"post": {"requestBody": thing}},
            "/api/impatient": {"get": {}},
        },
        "components": {"schemas": {
            "ThingIn": {"type": "object", "required": ["store_id", "name", "lines"], "properties": {
                "store_id": {"type": "string", "format": "uuid"},
                "name": {"type": "string"},
                "lines": {"type": "array", "items": {"$ref": "#/components/schemas/LineIn"}},
                "note": {"oneOf": [{"type": "null"}, {"type": "string"}]},
            }},
            "LineIn": {"type": "object", "required": ["quantity", "unit"], "properties": {
                "quantity": {"type": "integer", "format": "int64"},
                "unit": {"type": "string", "enum": ["piece", "gram"]},
            }},
        }},
    })
}

/// Operation, and texts that the case and the fault of one of its violations contain.
const DEFECTS: [(&str, &str, &str); 17] = [
    (
        "POST /api/panics",
        "quantity is the largest integer",
        "status 500",
    ),
    ("POST /api/lenient", "name is a number", "status 200"),
    (
        "POST /api/lenient",
        "body with an unknown member",
        "status 200",
    ),
    (
        "POST /api/lenient",
        "/lines/0 without quantity",
        "status 200",
    ),
    (
        "POST /api/lenient",
        "content type \"text/plain\"",
        "status 200",
    ),
    ("POST /api/lenient", "2097152 bytes", "not one of [413"),
    ("GET /api/leaks", "a good request", "shows a cause"),
    (
        "GET /api/plain",
        "a good request",
        "an error of type text/plain",
    ),
    ("GET /api/plain", "a good request", "a problem without code"),
    ("GET /api/hangs", "no token", "a hang"),
    ("GET /api/echoes", "a good request", "repeats the token"),
    (
        "GET /internal/admits-users",
        "an owner's token",
        "not one of [403]",
    ),
    ("GET /internal/admits-users", "alg none", "not one of [401]"),
    (
        "GET /internal/admits-users",
        "HS256 with the public key",
        "not one of [401]",
    ),
    (
        "POST /api/lies",
        "a good request",
        "not a request that is understood",
    ),
    (
        "GET /api/impatient",
        "a good request",
        "no retry-after header",
    ),
    ("GET /api/impatient", "a good request", "request id"),
];

#[tokio::test]
async fn every_defect_is_found_and_nothing_else() {
    let identity = TestIdentity::new();
    let (_server, client) = start(&identity);
    let hostile = Hostile::new(&identity)
        .patience(Duration::from_millis(1_500))
        .random_cases(16);
    let report = hostile.run(&client, &document()).await;

    let blameless = ["/api/things", "/internal/things", "/no/such", "/health"];
    let unjust: Vec<String> = report
        .violations
        .iter()
        .filter(|violation| {
            let path = violation.operation.split(' ').nth(1).unwrap_or_default();
            blameless.iter().any(|good| path.starts_with(good))
        })
        .map(ToString::to_string)
        .collect();
    assert!(unjust.is_empty(), "{}", unjust.join("\n"));

    for (operation, case, fault) in DEFECTS {
        let found = report.violations.iter().any(|violation| {
            violation.operation == operation
                && violation.case.contains(case)
                && violation.fault.contains(fault)
        });
        assert!(
            found,
            "{operation}: {case}: {fault} was not found\n{report}"
        );
    }
    assert_eq!(report.operations, 12);
    assert!(report.requests > 500, "{}", report.requests);
}

#[tokio::test]
async fn one_seed_draws_the_same_variations() {
    let identity = TestIdentity::new();
    let client = ApiClient::new("http://127.0.0.1:9");
    let mut hostile = Hostile::new(&identity);
    let draw = |hostile: &Hostile| {
        let mut runner = Runner::new(hostile, &client);
        (0..20)
            .map(|_| runner.mutated(json!({"a": [1, 2], "b": {"c": "d"}})))
            .collect::<Vec<_>>()
    };
    hostile.seed = 7;
    let first = draw(&hostile);
    assert_eq!(first, draw(&hostile));
    hostile.seed = 8;
    assert_ne!(first, draw(&hostile));
}

#[test]
fn good_requests_carry_what_the_test_knows() {
    let identity = TestIdentity::new();
    let client = ApiClient::new("http://127.0.0.1:9");
    let hostile = Hostile::new(&identity)
        .known("quantity", 77)
        .known("limit", 3)
        .known("/api/things/{id}", "the-thing");
    let document = Document::read(&document(), &hostile.public, &hostile.known);
    let runner = Runner::new(&hostile, &client);
    let targets: Vec<(String, String)> = document
        .operations
        .iter()
        .filter(|operation| operation.path.starts_with("/api/things"))
        .map(|operation| {
            let case = runner.good_case(&document, operation, sample::Fill::Everything);
            let body = String::from_utf8(case.body.unwrap_or_default()).unwrap();
            (case.target, body)
        })
        .collect();
    assert!(
        targets[0].0.starts_with("/api/things?limit=3&store_id="),
        "{targets:?}"
    );
    assert_eq!(targets[1].0, "/api/things/the-thing");
    assert!(targets[1].1.contains("\"quantity\":77"), "{targets:?}");
}
