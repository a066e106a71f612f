//! What every request passes, whatever the service.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use actix_web::{HttpResponse, get, post};
use common::auth::{Permit, permits};
use common::error::{ApiError, PROBLEM_JSON};
use common::extract::{Check, Faults, Valid};
use common::health::{Health, Importance};
use common::server::{self, ServerParts};
use common::settings::ServerSettings;
use common::shutdown::Shutdown;
use serde::Deserialize;
use serde_json::json;
use testkit::{ApiClient, TestIdentity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NumberIn {
    number: i64,
}

impl Check for NumberIn {
    fn check(&self, faults: &mut Faults) {
        faults.require(self.number > 0, "number", "out_of_range", "from 1");
    }
}

#[utoipa::path(responses((status = 200)))]
#[post("/double")]
async fn double(_auth: Permit<permits::OrdersRead>, body: Valid<NumberIn>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "number": body.number * 2 }))
}

#[utoipa::path(responses((status = 200)))]
#[get("/panic")]
async fn panic() -> HttpResponse {
    panic!("the secret cause")
}

#[utoipa::path(responses((status = 200)))]
#[get("/broken")]
async fn broken() -> Result<HttpResponse, ApiError> {
    Err(ApiError::internal("the secret cause"))
}

struct Running {
    client: ApiClient,
    address: SocketAddr,
    identity: TestIdentity,
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Running {
    fn start(healthy: bool) -> Self {
        let identity = TestIdentity::new();
        let health = Health::builder("test-service", "0")
            .check("thing", Importance::Required, move || {
                std::future::ready(if healthy {
                    Ok(())
                } else {
                    Err("gone".to_owned())
                })
            })
            .build();
        let settings = ServerSettings {
            host: "127.0.0.1".to_owned(),
            port: 0,
            grpc_port: 0,
            workers: 1,
            shutdown_grace_ms: 30_000,
        };
        let parts = ServerParts {
            settings,
            health,
            verifier: identity.verifier(),
            openapi: server::describe("Test", "A test.", "0"),
        };
        let server = server::start(parts, |config| {
            config.service(double).service(panic).service(broken);
        })
        .expect("a free port");
        let address = server.address();
        let client = ApiClient::new(format!("http://{address}"));
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { server.run_until(&stop).await });
        Self {
            client: client.with_token(identity.owner()),
            address,
            identity,
            shutdown,
            task,
        }
    }

    async fn stop(self) {
        self.shutdown.trigger();
        self.task.await.expect("no panic").expect("a clean stop");
    }
}

#[tokio::test]
async fn a_body_of_the_wrong_type_is_told_what_is_expected_and_not_what_was_sent() {
    let running = Running::start(true);
    for body in [json!("open sesame"), json!({"number": "open sesame"})] {
        let detail = running
            .client
            .post("/double", &body)
            .await
            .expect_problem(400, "invalid_type")
            .detail;
        assert!(detail.contains("expected"), "{detail}");
        assert!(!detail.contains("sesame"), "{detail}");
    }
    running.stop().await;
}

#[tokio::test]
async fn bodies_are_understood_or_refused_with_a_reason() {
    let running = Running::start(true);
    let client = &running.client;
    let doubled = client
        .post("/double", &json!({"number": 21}))
        .await
        .expect(200);
    assert_eq!(doubled["number"], 42);
    client
        .post("/double", &json!({"number": "21"}))
        .await
        .expect_problem(400, "invalid_type");
    client
        .post("/double", &json!({}))
        .await
        .expect_problem(400, "missing_field");
    client
        .post("/double", &json!({"number": 1, "x": 1}))
        .await
        .expect_problem(400, "unknown_field");
    assert_eq!(
        client
            .post("/double", &json!({"number": 0}))
            .await
            .expect_invalid(),
        ["number"]
    );
    let large = json!({"number": 1, "x": "y".repeat(2 << 20)});
    client
        .post("/double", &large)
        .await
        .expect_problem(413, "body_too_large");
    let raw = |body: &'static str, kind: &'static str| {
        client
            .request(reqwest::Method::POST, "/double")
            .header("content-type", kind)
            .body(body)
    };
    client
        .send(raw("{\"number\":", "application/json"))
        .await
        .expect_problem(400, "malformed_json");
    client
        .send(raw("number=1", "text/plain"))
        .await
        .expect_problem(415, "unsupported_media_type");
    client
        .without_token()
        .post("/double", &json!({"number": 1}))
        .await
        .expect_problem(401, "token_missing");
    let service = client.with_token(running.identity.service("order"));
    service
        .post("/double", &json!({"number": 1}))
        .await
        .expect_problem(403, "forbidden");
    running.stop().await;
}

#[tokio::test]
async fn no_attack_on_the_authorization_header_gets_in() {
    let running = Running::start(true);
    for attack in running.identity.attacks() {
        let mut request = running
            .client
            .without_token()
            .request(reqwest::Method::POST, "/double");
        request = attack.apply(request);
        let reply = running
            .client
            .send(request.json(&json!({"number": 1})))
            .await;
        assert_eq!(attack.fault(&reply), None);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_failure_never_shows_its_cause() {
    let running = Running::start(true);
    for path in ["/broken", "/panic"] {
        let reply = running.client.get(path).await;
        assert!(!reply.text.contains("secret cause"), "{reply}");
        let problem = reply.expect_problem(500, "internal");
        assert!(problem.request_id.is_some(), "{path}");
    }
    // The worker lives on after a panic.
    let _ = running
        .client
        .post("/double", &json!({"number": 1}))
        .await
        .expect(200);
    running.stop().await;
}

#[tokio::test]
async fn request_ids_travel_and_hostile_ones_do_not() {
    let running = Running::start(true);
    let ask = |id: &'static str| {
        let request = running.client.request(reqwest::Method::GET, "/nowhere");
        running.client.send(request.header("x-request-id", id))
    };
    let reply = ask("abc-123").await;
    assert_eq!(reply.header("x-request-id"), Some("abc-123"));
    assert_eq!(reply.header("content-type"), Some(PROBLEM_JSON));
    let problem = reply.expect_problem(404, "not_found");
    assert_eq!(problem.request_id.as_deref(), Some("abc-123"));
    let replaced = ask("<script>").await;
    assert_ne!(replaced.header("x-request-id"), Some("<script>"));
    running.stop().await;
}

#[tokio::test]
async fn health_metrics_and_documentation_are_open() {
    let running = Running::start(true);
    let anybody = running.client.without_token();
    assert_eq!(
        anybody.get("/health").await.expect(200)["status"],
        "healthy"
    );
    assert_eq!(anybody.get("/ready").await.status, 200);
    let metrics = anybody.get("/metrics").await;
    assert!(metrics.text.contains("http_requests_total"), "{metrics}");
    let document = anybody.get("/openapi.json").await.expect(200);
    assert!(document["paths"]["/double"]["post"].is_object());
    running.stop().await;

    let sick = Running::start(false);
    assert_eq!(
        sick.client.get("/health").await.expect(503)["status"],
        "unhealthy"
    );
    sick.stop().await;
}

#[tokio::test]
async fn an_application_gets_in_where_its_scopes_reach() {
    let running = Running::start(true);
    let as_application = |scopes| {
        running
            .client
            .with_token(running.identity.delegated(scopes))
    };
    let number = json!({"number": 1});
    let allowed = as_application("orders:read").post("/double", &number).await;
    let _doubled = allowed.expect(200);
    let refused = as_application("menu:read").post("/double", &number).await;
    refused.expect_problem(403, "forbidden");
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_says_nothing_is_let_go() {
    let running = Running::start(true);
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    let mut answer = Vec::new();
    let closed = timeout(Duration::from_secs(20), silent.read_to_end(&mut answer)).await;
    assert_eq!(closed.expect("closed in time").unwrap(), 0);
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_begins_slowly_is_heard() {
    let running = Running::start(true);
    let mut slow = TcpStream::connect(running.address).await.unwrap();
    // Others are served meanwhile.
    assert_eq!(running.client.get("/health").await.status, 200);
    slow.write_all(b"GET /health HT").await.unwrap();
    assert_eq!(running.client.get("/health").await.status, 200);
    let rest = b"TP/1.1\r\nhost: maru\r\nconnection: close\r\n\r\n";
    slow.write_all(rest).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    running.stop().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_client_that_says_nothing() {
    let running = Running::start(true);
    let _silent = TcpStream::connect(running.address).await.unwrap();
    // Accepted after the silent one.
    assert_eq!(running.client.get("/health").await.status, 200);
    let began = Instant::now();
    running.stop().await;
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}
