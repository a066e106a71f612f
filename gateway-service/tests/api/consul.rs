//! Consul's HTTP API, byte by byte, and through its clients, unmodified.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::client::Answer;
use crate::registrar::{Registrar, value};
use crate::upstream::{Reply, Upstream};

async fn echo() -> Upstream {
    Upstream::start(|seen| Reply::ok(&seen.head.start)).await
}

async fn ask(registrar: &Registrar, method: &str, target: &str, body: Option<Value>) -> Answer {
    let token = registrar.identity.service("anything");
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let length = match body.len() {
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: x\r\nX-Consul-Token: {token}\r\n{length}\r\n{body}"
    );
    registrar.gateway.ask(&request).await
}

fn service(instance: &Upstream, check: Value) -> Value {
    let address = instance.address();
    json!({
        "ID": "web1", "Name": "web", "Tags": ["v1", "blue"], "Address": address.ip().to_string(),
        "Port": address.port(), "Meta": {"zone": "a"}, "Check": check
    })
}

const REGISTER: &str = "/v1/agent/service/register";

#[tokio::test]
async fn a_service_with_a_ttl_check_is_critical_until_it_tells_and_again_when_it_is_silent() {
    let registrar = Registrar::start().await;
    let instance = echo().await;
    let body = service(&instance, json!({"TTL": "1s"}));
    ask(&registrar, "PUT", REGISTER, Some(body.clone()))
        .await
        .expect(200);
    registrar
        .get("/proxy/web/")
        .await
        .problem(503, "service_unhealthy");
    let passing = "/v1/health/service/web?passing";
    assert_eq!(
        value(&ask(&registrar, "GET", passing, None).await.expect(200)),
        json!([])
    );
    let told = "/v1/agent/check/pass/service:web1?note=fine";
    ask(&registrar, "PUT", told, None).await.expect(200);
    registrar.get("/proxy/web/").await.expect(200);
    let healthy = value(&ask(&registrar, "GET", passing, None).await.expect(200));
    assert_eq!(healthy[0]["Service"]["Service"], "web");
    assert_eq!(healthy[0]["Service"]["Port"], instance.address().port());
    assert_eq!(healthy[0]["Service"]["Tags"], json!(["v1", "blue"]));
    assert_eq!(healthy[0]["Service"]["Meta"], json!({"zone": "a"}));
    assert_eq!(healthy[0]["Checks"][0]["Output"], "fine");
    // Registering again keeps what is known.
    ask(&registrar, "PUT", REGISTER, Some(body))
        .await
        .expect(200);
    registrar.get("/proxy/web/").await.expect(200);
    testkit::wait_until("the silence to be noticed", || async {
        registrar.get("/proxy/web/").await.status == 503
    })
    .await;
    for (verb, status) in [
        ("warn", "warning"),
        ("fail", "critical"),
        ("pass", "passing"),
    ] {
        let target = format!("/v1/agent/check/{verb}/service:web1");
        ask(&registrar, "PUT", &target, None).await.expect(200);
        let all = value(
            &ask(&registrar, "GET", "/v1/health/service/web", None)
                .await
                .expect(200),
        );
        assert_eq!(all[0]["Checks"][0]["Status"], status);
    }
    ask(&registrar, "PUT", "/v1/agent/check/pass/nobody", None)
        .await
        .problem(404, "not_found");
    ask(&registrar, "PUT", "/v1/agent/service/deregister/web1", None)
        .await
        .expect(200);
    registrar.get("/proxy/web/").await.problem(404, "not_found");
    let again = ask(&registrar, "PUT", "/v1/agent/service/deregister/web1", None).await;
    again.problem(404, "not_found");
}

#[tokio::test]
async fn an_http_check_is_made_and_a_hopeless_instance_removed() {
    let registrar = Registrar::start().await;
    let instance = echo().await;
    let check = json!({
        "HTTP": format!("{}/health", instance.url()), "Interval": "100ms", "Timeout": "1s",
        "DeregisterCriticalServiceAfter": "1s"
    });
    ask(&registrar, "PUT", REGISTER, Some(service(&instance, check)))
        .await
        .expect(200);
    testkit::wait_until("the check to pass", || async {
        registrar.get("/proxy/web/").await.status == 200
    })
    .await;
    instance.set_health((500, String::new()));
    testkit::wait_until("the check to fail", || async {
        registrar.get("/proxy/web/").await.status == 503
    })
    .await;
    testkit::wait_until("the instance to be removed", || async {
        registrar.get("/proxy/web/").await.status == 404
    })
    .await;
}

/// A check that asks the same as before goes on, but what it found was forgotten by the registry.
#[tokio::test]
async fn a_checked_instance_that_registers_anew_is_found_well_again() {
    let mut registrar = Registrar::start().await;
    // It does not make the checks, and so its changes are seen there a moment later, all at once.
    let replica = registrar.replica().await;
    let (before, after, health) = (echo().await, echo().await, echo().await);
    let check = json!({"HTTP": format!("{}/health", health.url()), "Interval": "100ms"});
    let well = || async { registrar.get("/proxy/web/").await.status == 200 };
    let body = service(&before, check.clone());
    ask(&registrar, "PUT", REGISTER, Some(body))
        .await
        .expect(200);
    testkit::wait_until("the check to pass", well).await;
    let moved = service(&after, check);
    ask(&registrar, "PUT", REGISTER, Some(moved.clone()))
        .await
        .expect(200);
    testkit::wait_until("the moved instance to pass", well).await;
    assert!(!after.seen().is_empty());
    let _checks = std::mem::replace(&mut registrar.gateway, replica);
    let well = || async { registrar.get("/proxy/web/").await.status == 200 };
    testkit::wait_until("the replica to follow", well).await;
    let leave = "/v1/agent/service/deregister/web1";
    ask(&registrar, "PUT", leave, None).await.expect(200);
    ask(&registrar, "PUT", REGISTER, Some(moved))
        .await
        .expect(200);
    testkit::wait_until("the new instance to pass", well).await;
}

#[tokio::test]
async fn lists_are_as_consul_s() {
    let registrar = Registrar::start().await;
    let instance = echo().await;
    let mut body = service(&instance, json!({"TTL": "10s", "Status": "passing"}));
    ask(&registrar, "PUT", REGISTER, Some(body.clone()))
        .await
        .expect(200);
    body["ID"] = json!("web2");
    body["Tags"] = json!(["v2"]);
    ask(&registrar, "PUT", REGISTER, Some(body))
        .await
        .expect(200);
    let get = |target: &'static str| {
        let registrar = &registrar;
        async move { value(&ask(registrar, "GET", target, None).await.expect(200)) }
    };
    let services = get("/v1/agent/services").await;
    assert_eq!(services["web1"]["Service"], "web");
    assert_eq!(services.as_object().unwrap().len(), 2);
    assert_eq!(
        get("/v1/catalog/services").await,
        json!({"web": ["blue", "v1", "v2"]})
    );
    let catalog = get("/v1/catalog/service/web").await;
    assert_eq!(catalog[1]["ServiceID"], "web2");
    assert_eq!(catalog[0]["ServicePort"], instance.address().port());
    assert_eq!(
        get("/v1/catalog/service/web?tag=v2")
            .await
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        get("/v1/health/service/web?tag=v1&passing=1")
            .await
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(get("/v1/catalog/service/nobody").await, json!([]));
    // The same id under another name is the same instance, which moved.
    let mut moved = service(&instance, json!({"TTL": "10s"}));
    moved["Name"] = json!("shop");
    ask(&registrar, "PUT", REGISTER, Some(moved))
        .await
        .expect(200);
    assert_eq!(get("/v1/agent/services").await["web1"]["Service"], "shop");
    assert_eq!(
        get("/v1/agent/services").await.as_object().unwrap().len(),
        2
    );
}

#[tokio::test]
async fn a_blocking_query_returns_with_the_change_or_in_time() {
    let registrar = Registrar::start().await;
    let instance = echo().await;
    let first = ask(&registrar, "GET", "/v1/health/service/web", None)
        .await
        .expect(200);
    let index = first.head.one("x-consul-index").unwrap();
    let target = format!("/v1/health/service/web?index={index}&wait=20s");
    let started = Instant::now();
    let register = async {
        let body = service(&instance, json!({"TTL": "10s"}));
        ask(&registrar, "PUT", REGISTER, Some(body))
            .await
            .expect(200)
    };
    let (changed, _) = tokio::join!(ask(&registrar, "GET", &target, None), register);
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(value(&changed).as_array().unwrap().len(), 1);
    let next = changed.head.one("x-consul-index").unwrap();
    assert_ne!(next, index);
    let target = format!("/v1/catalog/services?index={next}&wait=300ms");
    let started = Instant::now();
    let same = ask(&registrar, "GET", &target, None).await.expect(200);
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(same.head.one("x-consul-index").unwrap(), next);
    for bad in ["index=x", "index=1&wait=soon"] {
        let target = format!("/v1/catalog/services?{bad}");
        ask(&registrar, "GET", &target, None)
            .await
            .problem(400, "invalid_query");
    }
}

#[tokio::test]
async fn a_token_is_needed_in_one_of_three_places_and_bad_input_is_refused() {
    let registrar = Registrar::start().await;
    let token = registrar.identity.owner();
    let bare = "GET /v1/agent/services HTTP/1.1\r\nHost: x\r\n";
    registrar
        .gateway
        .ask(&format!("{bare}\r\n"))
        .await
        .problem(403, "forbidden");
    let forged = registrar.identity.forged();
    let request = format!("{bare}X-Consul-Token: {forged}\r\n\r\n");
    registrar
        .gateway
        .ask(&request)
        .await
        .problem(403, "forbidden");
    let request = format!("{bare}Authorization: Bearer {token}\r\n\r\n");
    registrar.gateway.ask(&request).await.expect(200);
    let request = format!("GET /v1/agent/services?token={token} HTTP/1.1\r\nHost: x\r\n\r\n");
    registrar.gateway.ask(&request).await.expect(200);
    for (body, status, code) in [
        (json!({"Port": 80}), 400, "invalid_service"),
        (json!([]), 400, "invalid_service"),
        (json!({"Name": "a/b", "Port": 80}), 422, "invalid_fields"),
        (json!({"Name": "web"}), 422, "invalid_fields"),
        (
            json!({"Name": "web", "Port": 70_000}),
            422,
            "invalid_fields",
        ),
        (
            json!({"Name": "web", "Address": "169.254.169.254", "Port": 80}),
            422,
            "invalid_fields",
        ),
        (
            json!({"Name": "web", "Port": 80, "Check": {"TTL": "x"}}),
            422,
            "invalid_fields",
        ),
        (
            json!({"Name": "web", "Port": 80, "Check": {"Script": "x"}}),
            400,
            "invalid_service",
        ),
        (json!({"Name": "order", "Port": 80}), 403, "forbidden"),
    ] {
        let answer = ask(&registrar, "PUT", REGISTER, Some(body)).await;
        answer.problem(status, code);
    }
}

/// Where `scripts/install-test-deps` puts the clients.
fn clients() -> PathBuf {
    let folder = std::env::var_os("MARU_TEST_CLIENTS");
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.test-clients");
    folder.map_or_else(default, PathBuf::from)
}

/// Runs one of the scripts in `tests/clients` with an address and a token.
async fn run_client(program: PathBuf, script: &str, registrar: &Registrar, instance: &Upstream) {
    let installed = clients().join("node/node_modules/consul");
    assert!(
        installed.exists(),
        "{} is missing; scripts/install-test-deps installs it",
        installed.display()
    );
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(script);
    let gateway = registrar.gateway.address();
    let output = Command::new(program)
        .arg(script)
        .env("GATEWAY_PORT", gateway.port().to_string())
        .env("CONSUL_TOKEN", registrar.identity.service("anything"))
        .env("SERVICE_PORT", instance.address().port().to_string())
        .env("NODE_PATH", clients().join("node/node_modules"))
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("all well"), "{out}\n{err}");
}

#[tokio::test]
async fn the_node_client_of_consul_works_unmodified() {
    let registrar = Registrar::start().await;
    let instance = echo().await;
    run_client(PathBuf::from("node"), "consul.js", &registrar, &instance).await;
}

#[tokio::test]
async fn the_python_client_of_consul_works_unmodified() {
    let registrar = Registrar::start().await;
    let instance = echo().await;
    let python = clients().join("python/bin/python");
    run_client(python, "consul_client.py", &registrar, &instance).await;
}
