//! How instances share the requests, and what becomes of one that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use crate::registrar::{Registrar, value};
use crate::upstream::{Reply, Upstream};

const SERVICES: &str = "/api/discovery/services";

async fn ok() -> Upstream {
    Upstream::start(|_| Reply::ok("ok")).await
}

async fn four(registrar: &Registrar) -> Vec<Upstream> {
    let mut instances = Vec::new();
    for _ in 0..4 {
        let instance = ok().await;
        registrar.register("web", &instance).await.expect(201);
        instances.push(instance);
    }
    instances
}

#[tokio::test]
async fn one_of_four_is_killed_under_load_and_no_idempotent_request_fails() {
    let registrar = Registrar::start().await;
    let mut instances = four(&registrar).await;
    let killed = instances.remove(0);
    let id = killed.address().to_string();
    let running = Arc::new(AtomicBool::new(true));
    let callers = (0..8).map(|_| {
        let (registrar, running) = (&registrar, Arc::clone(&running));
        async move {
            let mut client = registrar.gateway.connect().await;
            let (mut calls, mut failures) = (0_u32, 0_u32);
            while running.load(Ordering::SeqCst) {
                let answer = client
                    .ask("GET /proxy/web/ HTTP/1.1\r\nHost: x\r\n\r\n")
                    .await;
                calls += 1;
                failures += u32::from(answer.status != 200);
            }
            (calls, failures)
        }
    });
    let killing = async {
        testkit::wait_until("some load", || async { killed.seen().len() > 50 }).await;
        killed.stop().await;
        let since = Instant::now();
        testkit::wait_until("the ejection", || async {
            let report = value(&registrar.get("/api/services/status").await.expect(200));
            let services = report["services"].as_array().unwrap();
            let web = services
                .iter()
                .find(|service| service["name"] == "web")
                .unwrap();
            let mut instances = web["instances"].as_array().unwrap().iter();
            instances.any(|one| one["id"] == id && one["ejected"] == true)
        })
        .await;
        let ejected_after = since.elapsed();
        let count = instances[0].seen().len();
        testkit::wait_until("more load", || async {
            instances[0].seen().len() > count + 200
        })
        .await;
        running.store(false, Ordering::SeqCst);
        ejected_after
    };
    let (ejected_after, calls) = tokio::join!(killing, join_all(callers));
    assert!(ejected_after < Duration::from_secs(3), "{ejected_after:?}");
    let total: u32 = calls.iter().map(|(calls, _)| calls).sum();
    let failures: u32 = calls.iter().map(|(_, failures)| failures).sum();
    assert!(total > 300, "{total}");
    assert_eq!(failures, 0, "of {total}");
}

#[tokio::test]
async fn an_instance_that_refuses_quickly_gets_next_to_nothing() {
    let bad = share_beside_four("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n").await;
    assert!(bad < 50, "{bad} of 1000");
}

#[tokio::test]
async fn an_instance_that_fails_quickly_gets_next_to_nothing() {
    let bad = share_beside_four("HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n").await;
    assert!(bad < 50, "{bad} of 1000");
}

/// How many of a thousand requests reach an instance that always answers so, beside four that work.
async fn share_beside_four(answer: &'static str) -> usize {
    let settings = [("GATEWAY__RESILIENCE__MAX_ATTEMPTS", "1")];
    let registrar = Registrar::with(&settings).await;
    let bad = Upstream::start(|_| Reply::text(answer)).await;
    // The first one: what is assumed of those that come later has had less time to fade.
    registrar.register("web", &bad).await.expect(201);
    let instances = four(&registrar).await;
    let mut client = registrar.gateway.connect().await;
    for _ in 0..1_000 {
        client
            .ask("GET /proxy/web/ HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
    }
    let good: usize = instances.iter().map(|one| one.seen().len()).sum();
    assert_eq!(good + bad.seen().len(), 1_000);
    bad.seen().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_instance_gets_less_than_the_others() {
    let registrar = Registrar::start().await;
    let instances = four(&registrar).await;
    let slow = Upstream::start(|_| {
        std::thread::sleep(Duration::from_millis(60));
        Reply::ok("slow")
    })
    .await;
    registrar.register("web", &slow).await.expect(201);
    let mut client = registrar.gateway.connect().await;
    for _ in 0..500 {
        client
            .ask("GET /proxy/web/ HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .expect(200);
    }
    assert!(slow.seen().len() < 50, "{}", slow.seen().len());
    assert!(instances.iter().all(|one| !one.seen().is_empty()));
}

#[tokio::test]
async fn a_key_stays_with_its_instance_when_others_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policies.toml");
    let text = "[services.web]\nbalance = 'consistent_hash'\nhash_header = 'x-customer'\n";
    std::fs::write(&file, text).unwrap();
    let path = file.display().to_string();
    let registrar = Registrar::with(&[("GATEWAY__RESILIENCE__POLICIES_FILE", &path)]).await;
    let mut instances = four(&registrar).await;
    let place = |number: usize| format!("customer-{number}");
    let ask_all = || async {
        let mut client = registrar.gateway.connect().await;
        for number in 0..60 {
            let customer = place(number);
            let request =
                format!("GET /proxy/web/ HTTP/1.1\r\nHost: x\r\nX-Customer: {customer}\r\n\r\n");
            client.ask(&request).await.expect(200);
        }
    };
    let owners = |instances: &[Upstream], from: &[usize]| -> Vec<Option<usize>> {
        let owner = |number: usize| {
            let mut all = instances.iter().zip(from).enumerate();
            all.find_map(|(index, (one, from))| {
                let seen = one.seen();
                let mut later = seen[*from..].iter();
                let customer = Some(place(number));
                later
                    .any(|seen| seen.head.one("x-customer") == customer)
                    .then_some(index)
            })
        };
        (0..60).map(owner).collect()
    };
    ask_all().await;
    let first = owners(&instances, &[0; 4]);
    let counts: Vec<usize> = instances.iter().map(|one| one.seen().len()).collect();
    ask_all().await;
    assert_eq!(owners(&instances, &counts), first);
    let counts: Vec<usize> = instances.iter().map(|one| one.seen().len()).collect();
    let gone = instances[3].address();
    registrar
        .call("DELETE", &format!("{SERVICES}/web/instances/{gone}"), None)
        .await
        .expect(204);
    ask_all().await;
    let last = owners(&instances, &counts);
    for (before, after) in first.iter().zip(&last) {
        assert!(
            before == after || *before == Some(3),
            "{before:?} {after:?}"
        );
    }
    assert!(first.contains(&Some(3)) && !last.contains(&Some(3)));
    instances.clear();
}

#[tokio::test]
async fn an_unhealthy_majority_is_asked_only_where_panic_is_wished() {
    for (percent, expected) in [("0", 503), ("60", 200)] {
        let settings = [("GATEWAY__RESILIENCE__PANIC_PERCENT", percent)];
        let registrar = Registrar::with(&settings).await;
        let instance = ok().await;
        instance.set_health((500, String::new()));
        let body = json!({
            "service_name": "web", "base_url": instance.url(),
            "health_check_url": format!("{}/health", instance.url())
        });
        registrar
            .call("POST", SERVICES, Some(body))
            .await
            .expect(201);
        testkit::wait_until("the verdict", || async {
            let health = value(&registrar.get("/api/discovery/health").await.expect(200));
            health["status"] == "UNHEALTHY"
        })
        .await;
        registrar.get("/proxy/web/").await.expect(expected);
    }
}

#[tokio::test]
async fn requests_are_counted_by_service_and_instance_and_never_by_path() {
    let registrar = Registrar::start().await;
    let instance = ok().await;
    registrar.register("counted", &instance).await.expect(201);
    for path in ["secret-1", "secret-2"] {
        registrar
            .get(&format!("/proxy/counted/{path}"))
            .await
            .expect(200);
    }
    let expected = format!(
        r#"gateway_instance_requests_total{{service="counted",instance="{}",outcome="answered"}} 2"#,
        instance.address()
    );
    let text = registrar.get("/metrics").await.expect(200).text();
    assert!(text.contains(&expected), "{text}");
    assert!(text.contains(r#"route="/proxy",service="counted""#));
    assert!(!text.contains("secret-"));
}
