//! Who may pass.

use std::time::Duration;

use common::auth::{Role, StoreClaim};
use common::clock::Clock;
use testkit::{TestIdentity, wait_until};

use crate::gateway::{Gateway, RoutingFile};
use crate::upstream::{Reply, Upstream};

const ROUTES: &str = r#"
    consumers = [{name = "partner", key_sha256 = ["2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"]}]
    routes = [
        {prefix = "/none", service = "order"},
        {prefix = "/optional", service = "order", auth = "optional"},
        {prefix = "/required", service = "order", auth = "required"},
        {prefix = "/permission", service = "order", auth = "required", permission = "orders:import"},
        {prefix = "/role", service = "order", auth = "required", roles = ["owner", "crew"]},
        {prefix = "/key", service = "order", auth = "required", api_keys = true},
        {prefix = "/key-role", service = "order", auth = "required", api_keys = true, roles = ["owner"]},
    ]"#;

async fn start() -> (Upstream, Gateway, TestIdentity) {
    let identity = TestIdentity::new();
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    upstream.set_keys(&identity.jwks());
    let gateway = Gateway::routing(&upstream, &RoutingFile::new(ROUTES)).await;
    (upstream, gateway, identity)
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[tokio::test]
async fn a_route_says_who_may_pass() {
    let (_upstream, gateway, identity) = start().await;
    let owner = bearer(&identity.owner());
    let crew = bearer(&identity.user(&[Role::Crew], StoreClaim::ALL));
    let kiosk = bearer(&identity.user(&[Role::Kiosk], StoreClaim::ALL));
    let service = bearer(&identity.service("order"));
    let application = bearer(&identity.delegated("orders:read"));
    let nobody = String::new();
    let basic = "Authorization: Basic eDp5\r\n".to_owned();
    for (path, headers, status) in [
        ("/none", &nobody, 200),
        ("/none", &basic, 200),
        ("/optional", &nobody, 200),
        ("/optional", &owner, 200),
        ("/optional", &basic, 200),
        ("/required", &nobody, 401),
        ("/required", &basic, 401),
        ("/required", &owner, 200),
        ("/required", &kiosk, 200),
        ("/required", &application, 200),
        ("/required", &service, 403),
        ("/permission", &owner, 200),
        ("/permission", &crew, 403),
        ("/permission", &application, 403),
        ("/role", &owner, 200),
        ("/role", &crew, 200),
        ("/role", &kiosk, 403),
    ] {
        let answer = gateway.ask(&get(path, headers)).await;
        assert_eq!(answer.status, status, "{path} {headers}");
        if status == 401 {
            assert_eq!(
                answer.head.one("www-authenticate").as_deref(),
                Some("Bearer")
            );
        }
    }
}

#[tokio::test]
async fn every_attack_on_a_token_is_refused_before_a_service_sees_it() {
    let (upstream, gateway, identity) = start().await;
    gateway
        .ask(&get("/required", &bearer(&identity.owner())))
        .await
        .expect(200);
    let mut wrong = Vec::new();
    for attack in identity.attacks() {
        let values = attack.authorization.iter();
        let lines: String = values
            .map(|value| format!("Authorization: {value}\r\n"))
            .collect();
        let is_bearer = |value: &String| {
            let scheme = value.split(' ').next().unwrap_or_default();
            scheme.eq_ignore_ascii_case("bearer")
        };
        // An optional route looks at nothing but bearer tokens.
        let paths: &[&str] = match attack.authorization.iter().any(is_bearer) {
            true => &["/required", "/optional"],
            false => &["/required"],
        };
        for path in paths {
            let answer = gateway.ask(&get(path, &lines)).await;
            if !matches!(answer.status, 400 | 401) {
                wrong.push(format!("{} at {path}: {}", attack.name, answer.head.start));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_service_learns_who_asks_and_still_gets_the_token() {
    let (upstream, gateway, identity) = start().await;
    let token = identity.user(&[Role::Crew, Role::Kiosk], StoreClaim::ALL);
    let spoofed = "X-Maru-Subject: root\r\nX_Maru_Roles: owner\r\nX.Maru.Consumer: c\r\n";
    gateway
        .ask(&get("/required", &format!("{}{spoofed}", bearer(&token))))
        .await
        .expect(200);
    let head = upstream.seen().pop().unwrap().head;
    assert_eq!(head.one("authorization"), Some(format!("Bearer {token}")));
    assert_eq!(head.one("x-maru-roles").as_deref(), Some("crew,kiosk"));
    let subject = head.one("x-maru-subject").unwrap();
    assert!(uuid::Uuid::parse_str(&subject).is_ok(), "{subject}");
    assert_eq!(head.one("x-maru-consumer"), None);
    gateway.ask(&get("/none", spoofed)).await.expect(200);
    let head = upstream.seen().pop().unwrap().head;
    for name in [
        "x-maru-subject",
        "x-maru-roles",
        "x_maru_roles",
        "x.maru.consumer",
    ] {
        assert_eq!(head.all(name), Vec::<String>::new(), "{name}");
    }
}

#[tokio::test]
async fn a_consumer_s_key_is_as_good_as_a_token_where_the_route_says_so() {
    let (upstream, gateway, identity) = start().await;
    for (path, headers, status) in [
        ("/key", "X-Api-Key: secret\r\n", 200),
        ("/key", "X-Api-Key: Secret\r\n", 401),
        ("/key", "X-Api-Key: secret\r\nX-Api-Key: secret\r\n", 401),
        ("/key", "X-Api-Key:\r\n", 401),
        ("/key", "X_Api_Key: secret\r\n", 401),
        ("/key", "", 401),
        ("/key?x-api-key=secret", "", 401),
        ("/required", "X-Api-Key: secret\r\n", 401),
        ("/key-role", "X-Api-Key: secret\r\n", 403),
    ] {
        let answer = gateway.ask(&get(path, headers)).await;
        assert_eq!(answer.status, status, "{path} {headers}");
    }
    let long = format!("X-Api-Key: {}\r\n", "k".repeat(600));
    gateway
        .ask(&get("/key", &long))
        .await
        .problem(401, "api_key_invalid");
    gateway
        .ask(&get("/key", &bearer(&identity.owner())))
        .await
        .expect(200);
    let seen = upstream.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(
        seen[0].head.one("x-maru-consumer").as_deref(),
        Some("partner")
    );
    assert_eq!(seen[0].head.one("x-api-key"), None);
}

#[tokio::test]
async fn a_token_ends_and_a_key_that_is_unknown_is_asked_for() {
    let identity = TestIdentity::new();
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    upstream.set_keys(&identity.jwks());
    let gateway = Gateway::routing(&upstream, &RoutingFile::new(ROUTES)).await;
    let ends_soon = {
        let mut claims = identity.claims(common::auth::TokenType::Access, "somebody");
        claims.exp = Clock::system().now().as_unix_seconds() - 3;
        identity.sign(&claims)
    };
    // Inside the leeway for clocks that differ.
    gateway
        .ask(&get("/required", &bearer(&ends_soon)))
        .await
        .expect(200);
    wait_until("the end of the token", || async {
        gateway
            .ask(&get("/required", &bearer(&ends_soon)))
            .await
            .status
            == 401
    })
    .await;
    let rotated = TestIdentity::new();
    upstream.set_keys(&rotated.jwks());
    let started = std::time::Instant::now();
    wait_until("the new key", || async {
        gateway
            .ask(&get("/required", &bearer(&rotated.owner())))
            .await
            .status
            == 200
    })
    .await;
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn while_nobody_can_tell_nobody_passes() {
    let identity = TestIdentity::new();
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let file = RoutingFile::new(ROUTES);
    let gateway =
        Gateway::routing_with(&upstream, &file, &[("USER_URL", "http://127.0.0.1:1")]).await;
    let answer = gateway
        .ask(&get("/required", &bearer(&identity.owner())))
        .await;
    let answer = answer.problem(503, "keys_unavailable");
    assert!(answer.head.one("retry-after").is_some());
    gateway
        .ask(&get("/none", &bearer(&identity.owner())))
        .await
        .expect(200);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_refused_upload_is_not_read() {
    let (upstream, gateway, _identity) = start().await;
    let mut client = gateway.connect().await;
    client
        .send("POST /required HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
        .await;
    // The server says so before anybody is asked; the refusal follows at once (docs/gateway.md).
    client.answer(false).await.unwrap().expect(100);
    let answer = client.answer(false).await.unwrap();
    answer.problem(401, "token_missing");
    assert!(client.is_closed().await);
    assert_eq!(upstream.seen().len(), 0);
}
