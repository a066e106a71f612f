//! How often somebody may ask.

use common::auth::{Role, StoreClaim};
use testkit::database::{Profile, required_address};
use testkit::{TestIdentity, wait_until};

use crate::gateway::{Gateway, RoutingFile};
use crate::upstream::{Reply, Upstream};

const ROUTES: &str = r#"
    rate_limits = [
        {name = "address", by = "address", requests = 3, window_seconds = 3600},
        {name = "subject", by = "subject", requests = 2, window_seconds = 3600},
        {name = "key", by = "api_key", requests = 2, window_seconds = 3600},
        {name = "route", by = "route", requests = 2, window_seconds = 3600},
        {name = "burst", by = "address", requests = 1200, window_seconds = 3600, burst = 2},
        {name = "wide", by = "address", requests = 100, window_seconds = 60},
    ]
    consumers = [
        {name = "shop", key_sha256 = ["ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"]},
        {name = "van", key_sha256 = ["3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"]},
    ]
    routes = [
        {prefix = "/address", service = "order", rate_limits = ["address"]},
        {prefix = "/address-too", service = "order", rate_limits = ["address"]},
        {prefix = "/subject", service = "order", auth = "optional", rate_limits = ["subject"]},
        {prefix = "/key", service = "order", auth = "optional", api_keys = true, rate_limits = ["key"]},
        {prefix = "/route-1", service = "order", rate_limits = ["route"]},
        {prefix = "/route-2", service = "order", rate_limits = ["route"]},
        {prefix = "/burst", service = "order", rate_limits = ["burst", "wide"]},
        {prefix = "/free", service = "order"},
    ]"#;

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
}

/// On the infrastructure profile the counts are in Redis.
fn redis() -> Vec<(&'static str, String)> {
    match Profile::current() {
        Profile::Infrastructure => vec![("REDIS_URL", required_address("TEST_REDIS_URL"))],
        Profile::Embedded => Vec::new(),
    }
}

async fn start_with(routes: &str, settings: &[(&str, &str)]) -> (Upstream, Gateway, TestIdentity) {
    let identity = TestIdentity::new();
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    upstream.set_keys(&identity.jwks());
    let redis = redis();
    let shared = redis.iter().map(|(name, url)| (*name, url.as_str()));
    let settings: Vec<_> = settings.iter().copied().chain(shared).collect();
    let file = RoutingFile::new(&unique(routes));
    let gateway = Gateway::routing_with(&upstream, &file, &settings).await;
    (upstream, gateway, identity)
}

/// Tests share one Redis: their limits have names of their own.
fn unique(routes: &str) -> String {
    let mut text = routes.to_owned();
    let own = uuid::Uuid::new_v4().simple().to_string();
    for name in ["address", "subject", "key", "route", "burst", "wide"] {
        text = text.replace(
            &format!("name = \"{name}\""),
            &format!("name = \"{name}-{own}\""),
        );
        for before in ["[", ", "] {
            for after in ["]", ","] {
                let old = format!("{before}\"{name}\"{after}");
                text = text.replace(&old, &format!("{before}\"{name}-{own}\"{after}"));
            }
        }
    }
    text
}

#[tokio::test]
async fn one_too_many_is_told_when_to_come_back() {
    let (upstream, gateway, _) = start_with(ROUTES, &[]).await;
    let mut client = gateway.connect().await;
    for left in [2, 1] {
        let head = client.ask(&get("/address", "")).await.expect(200).head;
        assert!(
            head.one("ratelimit")
                .unwrap()
                .contains(&format!(";r={left};t=")),
            "{head:?}"
        );
        assert!(
            head.one("ratelimit-policy")
                .unwrap()
                .ends_with(";q=3;w=3600")
        );
    }
    // Routes that name one limit share its counts.
    client.ask(&get("/address-too", "")).await.expect(200);
    let answer = client.ask(&get("/address", "")).await;
    let head = answer.problem(429, "too_many_requests").head;
    let wait: u64 = head.one("retry-after").unwrap().parse().unwrap();
    assert!((1..=1_200).contains(&wait), "{wait}");
    assert!(head.one("ratelimit").unwrap().contains(";r=0;t="));
    client.ask(&get("/free", "")).await.expect(200);
    assert_eq!(upstream.seen().len(), 4);
}

#[tokio::test]
async fn a_claimed_address_is_not_believed() {
    let (_upstream, gateway, _) = start_with(ROUTES, &[]).await;
    for turn in 0..4 {
        let claimed = format!("X-Forwarded-For: 203.0.113.{turn}\r\n");
        let answer = gateway.ask(&get("/address", &claimed)).await;
        assert_eq!(answer.status, if turn < 3 { 200 } else { 429 });
    }
    let trusted = [("GATEWAY__PROXIES__TRUSTED", "127.0.0.0/8")];
    let (_upstream, gateway, _) = start_with(ROUTES, &trusted).await;
    for turn in 0..8 {
        let hops = format!("X-Forwarded-For: 9.9.9.{turn}, 203.0.113.{}\r\n", turn % 2);
        let answer = gateway.ask(&get("/address", &hops)).await;
        assert_eq!(answer.status, if turn < 6 { 200 } else { 429 }, "{turn}");
    }
    for turn in 0..4 {
        let hops = format!("X-Forwarded-For: 2001:db8:0:1::{turn}\r\n");
        let answer = gateway.ask(&get("/address", &hops)).await;
        assert_eq!(answer.status, if turn < 3 { 200 } else { 429 }, "{turn}");
    }
}

#[tokio::test]
async fn an_account_counts_wherever_it_comes_from() {
    let (_upstream, gateway, identity) = start_with(ROUTES, &[]).await;
    let [kim, lee] = [(); 2].map(|()| {
        let token = identity.user(&[Role::Crew], StoreClaim::ALL);
        format!("Authorization: Bearer {token}\r\n")
    });
    for (headers, status) in [
        (kim.as_str(), 200),
        (&kim, 200),
        (&kim, 429),
        (&lee, 200),
        ("", 200),
        ("", 200),
        ("", 429),
    ] {
        assert_eq!(gateway.ask(&get("/subject", headers)).await.status, status);
    }
}

#[tokio::test]
async fn a_key_and_a_route_have_counts_of_their_own() {
    let (_upstream, gateway, _) = start_with(ROUTES, &[]).await;
    for (path, headers, status) in [
        ("/key", "X-Api-Key: a\r\n", 200),
        ("/key", "X-Api-Key: a\r\n", 200),
        ("/key", "X-Api-Key: a\r\n", 429),
        ("/key", "X-Api-Key: b\r\n", 200),
        // Whoever has none is counted by the address.
        ("/key", "", 200),
        ("/key", "", 200),
        ("/key", "", 429),
        ("/key", "X-Api-Key: b\r\n", 200),
        // One that is made up is refused, and has no count.
        ("/key", "X-Api-Key: c\r\n", 401),
        ("/route-1", "", 200),
        ("/route-1", "", 200),
        ("/route-1", "", 429),
        ("/route-2", "", 200),
    ] {
        assert_eq!(
            gateway.ask(&get(path, headers)).await.status,
            status,
            "{path} {headers}"
        );
    }
}

#[tokio::test]
async fn a_burst_is_forgiven_as_time_passes() {
    let (_upstream, gateway, _) = start_with(ROUTES, &[]).await;
    let mut client = gateway.connect().await;
    let head = client.ask(&get("/burst", "")).await.expect(200).head;
    assert_eq!(head.one("ratelimit").unwrap().split(", ").count(), 2);
    client.ask(&get("/burst", "")).await.expect(200);
    let head = client
        .ask(&get("/burst", ""))
        .await
        .problem(429, "too_many_requests")
        .head;
    let wait: u64 = head.one("retry-after").unwrap().parse().unwrap();
    assert!((1..=3).contains(&wait), "{wait}");
    wait_until("the next request to be allowed", || async {
        gateway.ask(&get("/burst", "")).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_readable_for_a_page() {
    let (_upstream, gateway, _) = start_with(ROUTES, &[]).await;
    let origin = "Origin: http://localhost:3000\r\n";
    for status in [200, 200, 429] {
        let head = gateway
            .ask(&get("/route-1", origin))
            .await
            .expect(status)
            .head;
        assert_eq!(
            head.one("access-control-allow-origin").as_deref(),
            Some("http://localhost:3000")
        );
    }
}

#[tokio::test]
async fn counts_survive_a_change_of_the_file_that_leaves_the_limit_as_it_is() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let routes = unique(ROUTES);
    let file = RoutingFile::new(&routes);
    let gateway = Gateway::routing(&upstream, &file).await;
    for status in [200, 200, 429] {
        gateway.ask(&get("/route-1", "")).await.expect(status);
    }
    file.write(&routes.replace("prefix = \"/free\"", "prefix = \"/freer\""));
    wait_until("the change", || async {
        gateway.ask(&get("/freer", "")).await.status == 200
    })
    .await;
    gateway.ask(&get("/route-1", "")).await.expect(429);
}

#[tokio::test]
async fn replicas_share_their_counts_in_redis_and_count_alone_without_it() {
    let routes = unique(ROUTES);
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let file = RoutingFile::new(&routes);
    let away = [("REDIS_URL", "redis://127.0.0.1:1")];
    let alone = Gateway::routing_with(&upstream, &file, &away).await;
    for status in [200, 200, 429] {
        alone.ask(&get("/route-1", "")).await.expect(status);
    }
    let redis = redis();
    let Some((name, url)) = redis.first() else {
        return;
    };
    let settings = [(*name, url.as_str())];
    let first = Gateway::routing_with(&upstream, &file, &settings).await;
    let second = Gateway::routing_with(&upstream, &file, &settings).await;
    first.ask(&get("/route-1", "")).await.expect(200);
    second.ask(&get("/route-1", "")).await.expect(200);
    first.ask(&get("/route-1", "")).await.expect(429);
    second.ask(&get("/route-1", "")).await.expect(429);
}
