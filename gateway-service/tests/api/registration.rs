//! What may be registered, and by whom.

use common::auth::{Role, StoreClaim};
use serde_json::{Value, json};

use crate::registrar::{Registrar, value};
use crate::upstream::{Reply, Upstream};

const SERVICES: &str = "/api/discovery/services";

async fn echo() -> Upstream {
    Upstream::start(|seen| Reply::ok(&seen.head.start)).await
}

#[tokio::test]
async fn only_services_and_operators_may_read_or_write() {
    let registrar = Registrar::start().await;
    let instance = echo().await;
    let body = json!({"service_name": "order", "base_url": instance.url()});
    let requests = [
        ("GET", SERVICES.to_owned()),
        ("POST", SERVICES.to_owned()),
        ("GET", format!("{SERVICES}/order")),
        ("DELETE", format!("{SERVICES}/order")),
        ("DELETE", format!("{SERVICES}/order/instances/a")),
        ("PUT", format!("{SERVICES}/order/instances/a/heartbeat")),
        ("GET", "/api/discovery/watch".to_owned()),
    ];
    for (method, target) in &requests {
        for attack in registrar.identity.attacks() {
            let mut request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n");
            for value in &attack.authorization {
                request.push_str(&format!("Authorization: {value}\r\n"));
            }
            let answer = registrar.gateway.ask(&format!("{request}\r\n")).await;
            let refused = [400, 401].contains(&answer.status);
            assert!(
                refused,
                "{} {method} {target}: {}",
                attack.name, answer.status
            );
        }
        let manager = registrar
            .identity
            .user(&[Role::AreaManager], StoreClaim::ALL);
        let answer = registrar
            .call_as(&manager, method, target, Some(body.clone()))
            .await;
        answer.problem(403, "forbidden");
    }
    let payment = registrar.identity.service("payment");
    let answer = registrar
        .call_as(&payment, "POST", SERVICES, Some(body.clone()))
        .await;
    answer.problem(403, "forbidden");
    let order = registrar.identity.service("order");
    registrar
        .call_as(&order, "POST", SERVICES, Some(body))
        .await
        .expect(201);
    for (method, target) in [
        ("DELETE", format!("{SERVICES}/order")),
        (
            "PUT",
            format!(
                "{SERVICES}/order/instances/{}/heartbeat",
                instance.address()
            ),
        ),
    ] {
        registrar
            .call_as(&payment, method, &target, None)
            .await
            .problem(403, "forbidden");
    }
    let web = json!({"service_name": "web", "base_url": instance.url()});
    registrar
        .call_as(&payment, "POST", SERVICES, Some(web))
        .await
        .expect(201);
}

/// Tries to register a good instance with one bad field.
async fn refuse(cases: impl IntoIterator<Item = (&'static str, Value, &'static str)>) {
    let registrar = Registrar::start().await;
    for (field, bad, code) in cases {
        let mut body = json!({"service_name": "web", "base_url": "http://127.0.0.1:8080"});
        body[field] = bad.clone();
        let answer = registrar.call("POST", SERVICES, Some(body)).await;
        let answer = answer.problem(422, "invalid_fields");
        let errors = value(&answer)["errors"].clone();
        assert_eq!(
            (&errors[0]["field"], &errors[0]["code"]),
            (&field.into(), &code.into()),
            "{bad}"
        );
    }
    let list = value(&registrar.call("GET", SERVICES, None).await.expect(200));
    assert_eq!(list["items"], json!([]));
}

#[tokio::test]
async fn addresses_that_the_gateway_must_not_ask_are_refused() {
    refuse([
        ("base_url", json!("web:80"), "invalid_url"),
        (
            "base_url",
            json!("http://127.0.0.1:8080/path"),
            "invalid_url",
        ),
        (
            "base_url",
            json!("http://a:b@127.0.0.1:8080"),
            "invalid_url",
        ),
        ("base_url", json!("https://127.0.0.1:8080"), "invalid_url"),
        ("base_url", json!("file:///etc/passwd"), "invalid_url"),
        ("base_url", json!("gopher://127.0.0.1:8080"), "invalid_url"),
        (
            "base_url",
            json!("http://127.0.0.1:22"),
            "address_not_allowed",
        ),
        (
            "base_url",
            json!("http://169.254.169.254"),
            "address_not_allowed",
        ),
        (
            "base_url",
            json!("http://[fe80::1]:8080"),
            "address_not_allowed",
        ),
        (
            "base_url",
            json!("http://[fd00:ec2::254]:8080"),
            "address_not_allowed",
        ),
        (
            "base_url",
            json!("http://[::ffff:169.254.169.254]:8080"),
            "address_not_allowed",
        ),
        (
            "base_url",
            json!("http://0.0.0.0:8080"),
            "address_not_allowed",
        ),
        ("base_url", json!("http://[::]:8080"), "address_not_allowed"),
        (
            "base_url",
            json!("http://224.0.0.1:8080"),
            "address_not_allowed",
        ),
        (
            "base_url",
            json!("http://8.8.8.8:8080"),
            "address_not_allowed",
        ),
        (
            "health_check_url",
            json!("http://169.254.169.254/latest"),
            "address_not_allowed",
        ),
        ("health_check_url", json!("/health"), "invalid_url"),
    ])
    .await;
}

#[tokio::test]
async fn what_cannot_be_registered_is_refused_with_its_field() {
    refuse([
        ("service_name", json!(""), "invalid_name"),
        ("service_name", json!("a/b"), "invalid_name"),
        ("service_name", json!("a\nb"), "invalid_name"),
        ("service_name", json!("x".repeat(64)), "invalid_name"),
        ("instance_id", json!("a b"), "invalid_id"),
        ("instance_id", json!(""), "invalid_id"),
        ("ttl_ms", json!(999), "out_of_range"),
        ("ttl_ms", json!(3_600_001), "out_of_range"),
        ("weight", json!(0), "out_of_range"),
        ("weight", json!(101), "out_of_range"),
        ("metadata", json!({"a": "x".repeat(9_000)}), "too_large"),
        ("metadata", json!({"a": "\u{0}"}), "control_character"),
    ])
    .await;
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused() {
    let registrar = Registrar::start().await;
    for (body, status, code) in [
        ("{", 400, "malformed_json"),
        ("[]", 400, "invalid_type"),
        (r#"{"service_name":"web"}"#, 400, "missing_field"),
        (
            r#"{"service_name":"web","base_url":"http://127.0.0.1:80","x":1}"#,
            400,
            "unknown_field",
        ),
        (
            r#"{"service_name":7,"base_url":"http://127.0.0.1:80"}"#,
            400,
            "invalid_type",
        ),
    ] {
        let answer = raw(&registrar, "application/json", body).await;
        answer.problem(status, code);
    }
    let answer = raw(&registrar, "text/plain", "{}").await;
    answer.problem(415, "unsupported_media_type");
    let answer = raw(&registrar, "application/json", &"x".repeat(70_000)).await;
    answer.problem(413, "body_too_large");
    let list = value(&registrar.call("GET", SERVICES, None).await.expect(200));
    assert_eq!(list["items"], json!([]));
}

async fn raw(registrar: &Registrar, media_type: &str, body: &str) -> crate::client::Answer {
    let (token, length) = (registrar.identity.owner(), body.len());
    let request = format!(
        "POST {SERVICES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    registrar.gateway.ask(&request).await
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_are_refused() {
    let registrar = Registrar::start().await;
    for target in [
        "/api/discovery",
        "/api/discovery/services/a/instances",
        "/v1",
        "/v1/kv/a",
    ] {
        registrar
            .call("GET", target, None)
            .await
            .problem(404, "not_found");
    }
    for (method, target, allow) in [
        ("PATCH", SERVICES.to_owned(), "GET, HEAD, POST"),
        ("POST", format!("{SERVICES}/a"), "GET, HEAD, DELETE"),
        ("GET", format!("{SERVICES}/a/instances/b/heartbeat"), "PUT"),
        ("GET", "/v1/agent/service/register".to_owned(), "PUT"),
    ] {
        let answer = registrar.call(method, &target, None).await;
        let answer = answer.problem(405, "method_not_allowed");
        assert_eq!(answer.head.one("allow").as_deref(), Some(allow));
    }
    registrar
        .call("GET", &format!("{SERVICES}/a"), None)
        .await
        .problem(404, "not_found");
    let target = format!("{SERVICES}/a/instances/b/heartbeat");
    registrar
        .call("PUT", &target, None)
        .await
        .problem(404, "not_found");
}
