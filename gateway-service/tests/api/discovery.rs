//! The registry: who may write to it and what, how soon it is routed by, and what survives.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::wait_until;

use crate::registrar::{Registrar, get, value};
use crate::upstream::{Reply, Upstream};

const SERVICES: &str = "/api/discovery/services";

async fn echo() -> Upstream {
    Upstream::start(|seen| Reply::ok(&seen.head.start)).await
}

#[tokio::test]
async fn a_registered_service_is_reached_at_once_with_every_method_and_gone_at_once() {
    let registrar = Registrar::start().await;
    let instance = echo().await;
    get(&registrar.gateway, "/proxy/web/a")
        .await
        .problem(404, "not_found");
    let answer = registrar.register("web", &instance).await.expect(201);
    assert_eq!(
        answer.head.one("location").as_deref(),
        Some("/api/discovery/services/web")
    );
    let shown = value(&answer);
    assert_eq!(
        (&shown["status"], &shown["lease"]["ttl_ms"]),
        (&"HEALTHY".into(), &30_000.into())
    );
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"] {
        let request = format!("{method} /proxy/web/a/b?c=%20d HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = registrar.gateway.ask(&request).await.expect(200);
        assert_eq!(answer.text(), format!("{method} /a/b?c=%20d HTTP/1.1"));
    }
    for (target, expected) in [
        ("/proxy/web", "/"),
        ("/proxy/web/", "/"),
        ("/proxy/web?q", "/?q"),
    ] {
        let answer = registrar.get(target).await.expect(200);
        assert_eq!(answer.text(), format!("GET {expected} HTTP/1.1"));
    }
    registrar
        .call("DELETE", &format!("{SERVICES}/web"), None)
        .await
        .expect(204);
    let seen = instance.seen().len();
    registrar
        .get("/proxy/web/a")
        .await
        .problem(404, "not_found");
    assert_eq!(instance.seen().len(), seen);
    registrar
        .call("DELETE", &format!("{SERVICES}/web"), None)
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn every_instance_gets_its_share_and_one_can_be_taken_out() {
    let registrar = Registrar::with(&[("GATEWAY__RESILIENCE__BALANCE", "round_robin")]).await;
    let instances = [echo().await, echo().await, echo().await];
    for instance in &instances {
        registrar.register("web", instance).await.expect(201);
    }
    for _ in 0..30 {
        registrar.get("/proxy/web/").await.expect(200);
    }
    assert_eq!(instances.each_ref().map(|one| one.seen().len()), [10; 3]);
    let id = instances[1].address();
    let target = format!("{SERVICES}/web/instances/{id}");
    registrar.call("DELETE", &target, None).await.expect(204);
    registrar
        .call("DELETE", &target, None)
        .await
        .problem(404, "not_found");
    for _ in 0..20 {
        registrar.get("/proxy/web/").await.expect(200);
    }
    assert_eq!(
        instances.each_ref().map(|one| one.seen().len()),
        [20, 10, 20]
    );
    let shown = value(
        &registrar
            .call("GET", &format!("{SERVICES}/web"), None)
            .await
            .expect(200),
    );
    assert_eq!(shown["instances"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn registering_again_changes_nothing_and_a_change_is_taken_over() {
    let registrar = Registrar::start().await;
    let instance = echo().await;
    let body = |version: &str| {
        Some(json!({
            "service_name": "web", "base_url": instance.url(), "instance_id": "web:1",
            "metadata": {"version": version, "port": 7}, "weight": 3, "ttl_ms": 60_000
        }))
    };
    let first = value(
        &registrar
            .call("POST", SERVICES, body("1"))
            .await
            .expect(201),
    );
    let again = value(
        &registrar
            .call("POST", SERVICES, body("1"))
            .await
            .expect(200),
    );
    assert_eq!(first["revision"], again["revision"]);
    let changed = value(
        &registrar
            .call("POST", SERVICES, body("2"))
            .await
            .expect(200),
    );
    assert!(changed["revision"].as_u64() > again["revision"].as_u64());
    assert_eq!(changed["metadata"], json!({"version": "2", "port": 7}));
    assert_eq!(changed["registered_at"], first["registered_at"]);
    let list = value(&registrar.call("GET", SERVICES, None).await.expect(200));
    assert_eq!(list["items"][0]["instances"].as_array().unwrap().len(), 1);
    assert_eq!(list["index"], changed["revision"]);
}

#[tokio::test]
async fn heartbeats_keep_an_instance_and_silence_removes_it_soon_after_its_lease() {
    let registrar = Registrar::start().await;
    let instance = echo().await;
    let ttl = Duration::from_secs(2);
    let body = json!({"service_name": "web", "base_url": instance.url(), "ttl_ms": 2_000});
    registrar
        .call("POST", SERVICES, Some(body))
        .await
        .expect(201);
    let target = format!("{SERVICES}/web/instances/{}/heartbeat", instance.address());
    let started = Instant::now();
    let mut last = Instant::now();
    while started.elapsed() < ttl + ttl / 2 {
        let lease = value(&registrar.call("PUT", &target, None).await.expect(200));
        assert_eq!(lease["ttl_ms"], 2_000);
        last = Instant::now();
        registrar.get("/proxy/web/").await.expect(200);
    }
    wait_until("the instance to be gone", || async {
        registrar.get("/proxy/web/").await.status == 404
    })
    .await;
    let gone_after = last.elapsed();
    assert!(gone_after >= ttl && gone_after < ttl * 2, "{gone_after:?}");
    registrar
        .call("PUT", &target, None)
        .await
        .problem(404, "not_found");
}

/// What lies between them and the gateway has failed more likely than all of them at once.
#[tokio::test]
async fn many_that_fall_silent_together_are_given_their_time_once_more() {
    let registrar = Registrar::start().await;
    let count = || async {
        let list = value(&registrar.call("GET", SERVICES, None).await.expect(200));
        let services = list["items"].as_array().unwrap().iter();
        let instances = services.map(|one| one["instances"].as_array().unwrap().len());
        instances.sum::<usize>()
    };
    let register = async |number: usize, ttl_ms: u64| {
        let body = json!({
            "service_name": "web", "base_url": "http://127.0.0.1:8080", "ttl_ms": ttl_ms,
            "instance_id": number.to_string()
        });
        registrar
            .call("POST", SERVICES, Some(body))
            .await
            .expect(201)
    };
    for number in 0..9 {
        register(number, 1_000).await;
    }
    let silent_since = Instant::now();
    wait_until("nine to be gone", || async { count().await == 0 }).await;
    let gone_after = silent_since.elapsed();
    assert!(gone_after < Duration::from_secs(2), "few: {gone_after:?}");
    let started = Instant::now();
    for number in 0..10 {
        register(number, 2_000).await;
    }
    wait_until("one of ten to be gone", || async { count().await < 10 }).await;
    let gone_after = started.elapsed();
    assert!(gone_after >= Duration::from_secs(4), "many: {gone_after:?}");
    wait_until("all to be gone", || async { count().await == 0 }).await;
}

#[tokio::test]
async fn what_is_registered_survives_a_restart() {
    let registrar = Registrar::start().await;
    let instance = echo().await;
    let body = json!({"service_name": "web", "base_url": instance.url(), "ttl_ms": 1_000});
    registrar
        .call("POST", SERVICES, Some(body))
        .await
        .expect(201);
    let registrar = registrar.restarted().await;
    registrar.get("/proxy/web/").await.expect(200);
    let target = format!("{SERVICES}/web/instances/{}/heartbeat", instance.address());
    registrar.call("PUT", &target, None).await.expect(200);
}

#[tokio::test]
async fn another_gateway_on_the_same_database_follows_within_a_second() {
    let registrar = Registrar::start().await;
    let replica = registrar.replica().await;
    let instance = echo().await;
    // The quickest of three: what is measured is the gateway, not the machine.
    let (mut came, mut went) = (Duration::MAX, Duration::MAX);
    for _ in 0..3 {
        registrar.register("web", &instance).await.expect(201);
        let started = Instant::now();
        wait_until("the replica to follow", || async {
            get(&replica, "/proxy/web/").await.status == 200
        })
        .await;
        came = came.min(started.elapsed());
        registrar
            .call("DELETE", &format!("{SERVICES}/web"), None)
            .await
            .expect(204);
        let started = Instant::now();
        wait_until("the replica to follow", || async {
            get(&replica, "/proxy/web/").await.status == 404
        })
        .await;
        went = went.min(started.elapsed());
    }
    let bound = Duration::from_secs(1);
    assert!(came < bound && went < bound, "{came:?} {went:?}");
}

#[tokio::test]
async fn an_instance_whose_health_url_fails_is_not_asked_until_it_is_well() {
    let registrar = Registrar::start().await;
    let instance = echo().await;
    let health = format!("{}/health", instance.url());
    let body = json!({
        "service_name": "web", "base_url": instance.url(), "health_check_url": health
    });
    registrar
        .call("POST", SERVICES, Some(body))
        .await
        .expect(201);
    // It is asked before anything is known of it.
    registrar.get("/proxy/web/").await.expect(200);
    let status = |expected: &'static str| {
        let registrar = &registrar;
        async move {
            wait_until(expected, || async {
                let answer = registrar.get("/api/discovery/health").await.expect(200);
                value(&answer)["services"][0]["status"] == expected
            })
            .await;
        }
    };
    status("HEALTHY").await;
    instance.set_health((500, "no".to_owned()));
    status("UNHEALTHY").await;
    let count = instance.seen().len();
    let answer = registrar
        .get("/proxy/web/")
        .await
        .problem(503, "service_unhealthy");
    assert_eq!(answer.head.one("retry-after").as_deref(), Some("1"));
    assert_eq!(instance.seen().len(), count);
    let shown = value(
        &registrar
            .call("GET", &format!("{SERVICES}/web"), None)
            .await
            .expect(200),
    );
    assert_eq!(shown["instances"][0]["detail"], "health URL: HTTP 500");
    instance.set_health((204, String::new()));
    status("HEALTHY").await;
    registrar.get("/proxy/web/").await.expect(200);
}

#[tokio::test]
async fn what_services_keep_to_themselves_is_not_reached_by_their_names() {
    let registrar = Registrar::start().await;
    let instance = echo().await;
    registrar.register("order", &instance).await.expect(201);
    registrar.register("web", &instance).await.expect(201);
    for target in [
        "/proxy/order/internal/events",
        "/proxy/order/internal",
        "/proxy/order/internal;a/b",
        "/proxy/order/metrics",
        "/proxy/web/internal/x",
        "/proxy/order/%69nternal/events",
        "/proxy/gateway/",
        "/proxy/",
        "/proxy",
    ] {
        registrar.get(target).await.problem(404, "not_found");
    }
    assert!(instance.seen().is_empty());
    registrar.get("/proxy/order/api/orders").await.expect(200);
}

#[tokio::test]
async fn a_registered_address_takes_the_place_of_the_one_in_the_settings() {
    let registrar = Registrar::start().await;
    let instance = echo().await;
    registrar
        .get("/api/orders")
        .await
        .problem(503, "service_unavailable");
    registrar.register("order", &instance).await.expect(201);
    registrar.get("/api/orders").await.expect(200);
    registrar
        .call("DELETE", &format!("{SERVICES}/order"), None)
        .await
        .expect(204);
    registrar
        .get("/api/orders")
        .await
        .problem(503, "service_unavailable");
}

#[tokio::test]
async fn the_status_shows_instances_and_breakers() {
    let registrar = Registrar::start().await;
    let instance = echo().await;
    registrar.register("web", &instance).await.expect(201);
    let report = value(&registrar.get("/api/services/status").await.expect(200));
    let services = report["services"].as_array().unwrap();
    let web = services
        .iter()
        .find(|service| service["name"] == "web")
        .unwrap();
    assert_eq!(
        (&web["status"], &web["breaker"]),
        (&"HEALTHY".into(), &"closed".into())
    );
    assert_eq!(web["instances"][0]["url"], instance.url());
    assert_eq!(web["instances"][0]["ejected"], false);
    let order = services
        .iter()
        .find(|service| service["name"] == "order")
        .unwrap();
    assert_eq!(
        (&order["breaker"], &order["instances"][0]["id"]),
        (&"closed".into(), &"settings".into())
    );
}

#[tokio::test]
async fn many_changes_a_second_are_routed_by_at_once_and_disturb_nobody() {
    let registrar = Registrar::start().await;
    let (stays, moves) = (echo().await, echo().await);
    registrar.register("stays", &stays).await.expect(201);
    let mut client = registrar.gateway.connect().await;
    for _ in 0..30 {
        registrar.register("moves", &moves).await.expect(201);
        registrar.get("/proxy/moves/").await.expect(200);
        client
            .ask("GET /proxy/stays/ HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .expect(200);
        registrar
            .call("DELETE", &format!("{SERVICES}/moves"), None)
            .await
            .expect(204);
        registrar.get("/proxy/moves/").await.expect(404);
        client
            .ask("GET /proxy/stays/ HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .expect(200);
    }
    assert_eq!((moves.seen().len(), stays.seen().len()), (30, 60));
    let connections = stays.seen().iter().map(|seen| seen.connection).max();
    assert_eq!(
        connections,
        Some(1),
        "changes of others cost it no connection"
    );
    let list: Value = value(&registrar.call("GET", SERVICES, None).await.expect(200));
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}
