//! The client keeps its session fresh and repeats what is safe to repeat.

use std::time::{Duration, Instant};

use maru::client::{ClientError, Gateway, GatewayArgs, RetryPolicy};
use serde_json::{Value, json};

use crate::fake_gateway::{EMAIL, FakeGateway, Fault, PASSWORD};

fn args(url: &str, password: &str) -> GatewayArgs {
    GatewayArgs {
        gateway: url.to_owned(),
        email: EMAIL.to_owned(),
        password: Some(password.into()),
        code: None,
    }
}

fn client(fake: &FakeGateway) -> Gateway {
    let policy = RetryPolicy {
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(20),
        patience: Duration::from_secs(20),
        answer_timeout: Duration::from_secs(10),
    };
    Gateway::with_policy(&args(&fake.url, PASSWORD), policy).unwrap()
}

async fn stores(gateway: &Gateway) -> Result<Value, ClientError> {
    Ok(gateway.get("/api/stores").send().await?.body)
}

#[tokio::test]
async fn a_wrong_password_is_said_at_once() {
    let fake = FakeGateway::start();
    let gateway = Gateway::new(&args(&fake.url, "wrong")).unwrap();
    let error = gateway.log_in().await.unwrap_err();
    assert!(matches!(error, ClientError::LoginRefused { .. }), "{error}");
    assert_eq!(fake.world().count("POST /api/auth/login"), 1);
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once_for_all_calls() {
    let fake = FakeGateway::start();
    let gateway = client(&fake);
    stores(&gateway).await.unwrap();
    fake.world().revoke_access();
    let calls = (0..20).map(|_| stores(&gateway));
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(fake.world().count("POST /api/auth/login"), 1);
    assert_eq!(fake.world().count("POST /api/auth/refresh"), 1);
}

#[tokio::test]
async fn a_session_that_is_over_is_opened_again() {
    let fake = FakeGateway::start();
    let gateway = client(&fake);
    stores(&gateway).await.unwrap();
    fake.world().revoke_sessions();
    stores(&gateway).await.unwrap();
    assert_eq!(fake.world().count("POST /api/auth/login"), 2);
}

#[tokio::test]
async fn a_token_near_its_end_is_renewed_before_use() {
    let fake = FakeGateway::start();
    fake.world().access_life_s = 0;
    let gateway = client(&fake);
    for _ in 0..3 {
        stores(&gateway).await.unwrap();
    }
    assert_eq!(fake.world().count("POST /api/auth/login"), 1);
    assert_eq!(fake.world().count("POST /api/auth/refresh"), 2);
}

#[tokio::test]
async fn a_write_with_a_key_is_repeated_with_that_key() {
    let fake = FakeGateway::start();
    let gateway = client(&fake);
    for (status, takes_effect) in [(503, false), (502, true), (504, true), (429, false)] {
        fake.fail("POST /api/inventory/receipts", 1, status, takes_effect);
    }
    let call = gateway
        .post("/api/inventory/receipts")
        .key("k-1")
        .json(&json!({"n": 1}));
    let answer = call.send::<Value>().await.unwrap();
    assert_eq!(answer.status, 201);
    let world = fake.world();
    assert_eq!(world.count("POST /api/inventory/receipts"), 5);
    assert_eq!(world.receipts.len(), 1);
    let mut keys = world
        .log
        .iter()
        .filter(|request| request.path.ends_with("receipts"));
    assert!(keys.all(|request| request.key.as_deref() == Some("k-1")));
    drop(world);
    assert_eq!(gateway.repeats(), 4);
}

#[tokio::test]
async fn a_write_without_a_key_is_not_repeated_when_it_may_have_been_done() {
    let fake = FakeGateway::start();
    let gateway = client(&fake);
    fake.fail("POST /api/orders", 2, 502, true);
    let answer = gateway
        .post("/api/orders")
        .json(&json!({}))
        .send::<Value>()
        .await;
    assert!(answer.unwrap_err().is_ambiguous());
    assert_eq!(fake.world().count("POST /api/orders"), 1);
    // A refusal to take it at all is another matter.
    fake.world().faults.clear();
    fake.fail("POST /api/orders", 2, 429, false);
    let answer = gateway
        .post("/api/orders")
        .json(&json!({}))
        .send::<Value>()
        .await;
    assert_eq!(
        answer.unwrap_err().problem().unwrap().code,
        "idempotency_key_missing"
    );
    assert_eq!(fake.world().count("POST /api/orders"), 4);
}

#[tokio::test]
async fn the_time_that_the_server_asks_for_is_waited() {
    let fake = FakeGateway::start();
    let gateway = client(&fake);
    gateway.log_in().await.unwrap();
    fake.world().faults.push_back(Fault {
        on: "GET /api/stores",
        status: 503,
        retry_after: Some(1),
        takes_effect: false,
    });
    let began = Instant::now();
    stores(&gateway).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    // More than the patience is not waited for.
    fake.world().faults.push_back(Fault {
        on: "GET /api/stores",
        status: 503,
        retry_after: Some(3600),
        takes_effect: false,
    });
    assert_eq!(
        stores(&gateway)
            .await
            .unwrap_err()
            .problem()
            .unwrap()
            .status,
        503
    );
}

#[tokio::test]
async fn nobody_there_is_said_when_the_patience_ends() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", port.local_addr().unwrap());
    drop(port);
    let policy = RetryPolicy {
        first_wait: Duration::from_millis(1),
        patience: Duration::from_millis(50),
        ..RetryPolicy::default()
    };
    let gateway = Gateway::with_policy(&args(&url, PASSWORD), policy).unwrap();
    let error = gateway.log_in().await.unwrap_err();
    let ClientError::NoAnswer { attempts, .. } = error else {
        panic!("{error}");
    };
    assert!(attempts > 1);
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let fake = FakeGateway::start();
    let gateway = client(&fake);
    for number in 0..7 {
        let path = format!("/api/inventory/products/{number}");
        let body = json!({"sku": "s", "name": number.to_string(), "unit": "g"});
        gateway.put(path).json(&body).send::<Value>().await.unwrap();
    }
    let all: Vec<Value> = gateway
        .pages("/api/inventory/products")
        .all()
        .await
        .unwrap();
    let names: Vec<&str> = all
        .iter()
        .map(|product| product["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["0", "1", "2", "3", "4", "5", "6"]);
    assert_eq!(fake.world().count("GET /api/inventory/products"), 3);
}

#[tokio::test]
async fn a_body_is_streamed_as_it_comes() {
    let fake = FakeGateway::start();
    let gateway = client(&fake);
    fake.fail("GET /api/stores", 2, 503, false);
    let response = gateway.get("/api/stores").stream().await.unwrap();
    assert_eq!(response.text().await.unwrap(), r#"{"items":[]}"#);
}
