//! Which requests are repeated, where, and how often; breakers, deadlines, bulkheads and fallbacks.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use testkit::wait_until;

use crate::client::Answer;
use crate::registrar::{Registrar, value};
use crate::upstream::{Reply, Upstream};

const BUSY: &str = "HTTP/1.1 503 X\r\ncontent-length: 4\r\n\r\nbusy";
/// As many failures as a test likes, without a breaker.
const NO_BREAKER: (&str, &str) = ("GATEWAY__RESILIENCE__BREAKER_MIN_CALLS", "1000000");
const IN_TURN: (&str, &str) = ("GATEWAY__RESILIENCE__BALANCE", "round_robin");

async fn ok() -> Upstream {
    Upstream::start(|_| Reply::ok("ok")).await
}

async fn busy() -> Upstream {
    Upstream::start(|_| Reply::text(BUSY)).await
}

/// Both ends of a thousand connections are in this process; the usual limit is 1,024 files.
fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// An address at which nobody listens.
async fn nobody(registrar: &Registrar, service: &str) {
    let gone = ok().await;
    registrar.register(service, &gone).await.expect(201);
    gone.stop().await;
}

async fn send(registrar: &Registrar, request: &str) -> Answer {
    registrar.gateway.ask(request).await
}

fn request(method: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} /proxy/web/a HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn an_instance_that_takes_no_connections_costs_no_request_of_any_method() {
    let registrar = Registrar::with(&[IN_TURN]).await;
    nobody(&registrar, "web").await;
    let alive = ok().await;
    registrar.register("web", &alive).await.expect(201);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        send(&registrar, &request(method, "", "hello"))
            .await
            .expect(200);
    }
    let bodies: Vec<String> = alive.seen().iter().map(|seen| seen.body.text()).collect();
    assert_eq!(bodies, ["hello"; 5]);
}

#[tokio::test]
async fn what_may_be_repeated_is_repeated_elsewhere_with_its_body() {
    for (method, headers, body, expected) in [
        ("GET", "", String::new(), 200),
        ("PUT", "", "x".repeat(60_000), 200),
        ("DELETE", "", String::new(), 200),
        // It is not known what became of it.
        ("POST", "", "hello".to_owned(), 503),
        ("PATCH", "", "hello".to_owned(), 503),
        ("POST", "Idempotency-Key: k\r\n", "hello".to_owned(), 200),
        // Too large to be kept.
        ("PUT", "", "x".repeat(70_000), 503),
    ] {
        let registrar = Registrar::with(&[IN_TURN]).await;
        let (busy, ok) = (busy().await, ok().await);
        registrar.register("web", &busy).await.expect(201);
        registrar.register("web", &ok).await.expect(201);
        let mut statuses = Vec::new();
        while busy.seen().is_empty() {
            let answer = send(&registrar, &request(method, headers, &body)).await;
            statuses.push(answer.status);
        }
        assert_eq!(statuses.last(), Some(&expected), "{method} {headers}");
        assert_eq!(busy.seen().len(), 1);
        for seen in busy.seen().iter().chain(&ok.seen()) {
            assert_eq!((seen.body.bytes, seen.complete), (body.len() as u64, true));
        }
        if expected == 200 {
            let attempt = ok.seen().last().unwrap().head.one("x-request-attempt");
            assert_eq!(attempt.as_deref(), Some("2"), "{method}");
        }
    }
}

#[tokio::test]
async fn a_post_that_may_have_arrived_is_not_given_to_another_instance() {
    let registrar = Registrar::with(&[IN_TURN]).await;
    let dies = Upstream::start(|_| Reply::ThenClose(Vec::new())).await;
    let alive = ok().await;
    registrar.register("web", &dies).await.expect(201);
    registrar.register("web", &alive).await.expect(201);
    let mut refused = 0;
    for _ in 0..4 {
        let answer = send(&registrar, &request("POST", "", "hello")).await;
        refused += usize::from(answer.status == 502);
    }
    assert_eq!((refused, dies.seen().len(), alive.seen().len()), (2, 2, 2));
    for _ in 0..4 {
        send(&registrar, &request("PUT", "", "hello"))
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn retries_stay_below_a_fifth_in_a_total_outage() {
    let registrar = Registrar::with(&[NO_BREAKER]).await;
    let instances = [busy().await, busy().await, busy().await];
    for instance in &instances {
        registrar.register("web", instance).await.expect(201);
    }
    let calls = 500;
    let mut client = registrar.gateway.connect().await;
    for _ in 0..calls {
        client
            .ask("GET /proxy/web/ HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .expect(503);
    }
    let attempts: usize = instances.iter().map(|one| one.seen().len()).sum();
    assert!(attempts > calls, "some are repeated: {attempts}");
    assert!(
        attempts * 10 <= calls * 12,
        "{attempts} attempts for {calls} requests"
    );
}

#[tokio::test]
async fn a_thousand_callers_see_exactly_as_many_probes_as_there_are() {
    let settings = [
        ("GATEWAY__RESILIENCE__BREAKER_OPEN_MS", "1500"),
        ("GATEWAY__RESILIENCE__BREAKER_PROBES", "3"),
        ("GATEWAY__REGISTRY__HEADER_TIMEOUT_MS", "60000"),
    ];
    let registrar = Registrar::with(&settings).await;
    let hangs = Arc::new(AtomicBool::new(false));
    let hanging = Arc::clone(&hangs);
    let instance = Upstream::start(move |_| match hanging.load(Ordering::SeqCst) {
        true => Reply::ThenHold(Vec::new()),
        false => Reply::text("HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n"),
    })
    .await;
    registrar.register("web", &instance).await.expect(201);
    for _ in 0..20 {
        registrar.get("/proxy/web/").await.expect(500);
    }
    let answer = registrar
        .get("/proxy/web/")
        .await
        .problem(503, "circuit_open");
    assert!(answer.head.one("retry-after").is_some());
    assert_eq!(instance.seen().len(), 20);
    hangs.store(true, Ordering::SeqCst);
    let opened = Instant::now();
    wait_until("the breaker to let probes through", || async {
        opened.elapsed() > Duration::from_millis(1_500)
    })
    .await;
    allow_many_files();
    let callers = (0..1_000).map(|_| registrar.get("/proxy/web/"));
    let mut callers: FuturesUnordered<_> = callers.collect();
    // All but the probes, which hang.
    for refused in 0..997 {
        let answer = tokio::time::timeout(Duration::from_secs(30), callers.next()).await;
        let answer = answer.unwrap_or_else(|_| panic!("only {refused} were refused"));
        answer.unwrap().problem(503, "circuit_open");
    }
    wait_until("the probes to arrive", || async {
        instance.seen().len() == 23
    })
    .await;
    // The probes are given up by their callers: their places are free again.
    drop(callers);
    hangs.store(false, Ordering::SeqCst);
    wait_until("a place to be free", || async {
        registrar.get("/proxy/web/").await.status == 500
    })
    .await;
    registrar
        .get("/proxy/web/")
        .await
        .problem(503, "circuit_open");
}

#[tokio::test]
async fn refusals_of_single_requests_open_no_breaker() {
    let registrar = Registrar::start().await;
    let instance =
        Upstream::start(|_| Reply::text("HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n")).await;
    registrar.register("web", &instance).await.expect(201);
    let mut client = registrar.gateway.connect().await;
    for _ in 0..100 {
        client
            .ask("GET /proxy/web/ HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .expect(404);
    }
}

#[tokio::test]
async fn clients_that_go_away_harm_no_instance() {
    let registrar = Registrar::start().await;
    let holds = Upstream::start(|_| Reply::ThenHold(Vec::new())).await;
    registrar.register("web", &holds).await.expect(201);
    for count in 1..=25 {
        let mut client = registrar.gateway.connect().await;
        client
            .send("GET /proxy/web/ HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
        wait_until("the request to arrive", || async {
            holds.seen().len() == count
        })
        .await;
        drop(client);
        wait_until("the request to be left", || async {
            holds.closed() == count
        })
        .await;
    }
    let report = value(&registrar.get("/api/services/status").await.expect(200));
    let services = report["services"].as_array().unwrap();
    let web = services
        .iter()
        .find(|service| service["name"] == "web")
        .unwrap();
    assert_eq!(web["breaker"], "closed");
    assert_eq!(
        (
            &web["instances"][0]["ejected"],
            &web["instances"][0]["in_flight"]
        ),
        (&false.into(), &0.into())
    );
}

#[tokio::test]
async fn a_deadline_is_kept_and_told_to_the_service() {
    let registrar = Registrar::start().await;
    let holds = Upstream::start(|_| Reply::ThenHold(Vec::new())).await;
    registrar.register("web", &holds).await.expect(201);
    for header in ["X-Request-Deadline-Ms: 1000", "Grpc-Timeout: 1S"] {
        let started = Instant::now();
        let answer = send(&registrar, &request("GET", &format!("{header}\r\n"), "")).await;
        answer.problem(504, "deadline_exceeded");
        let elapsed = started.elapsed();
        assert!((1_000..5_000).contains(&elapsed.as_millis()), "{elapsed:?}");
        let told = holds
            .seen()
            .last()
            .unwrap()
            .head
            .one("x-request-deadline-ms");
        let told: u64 = told.unwrap().parse().unwrap();
        assert!((1..=1_000).contains(&told), "{told}");
    }
}

#[tokio::test]
async fn a_full_service_refuses_at_once_and_serves_others_still() {
    let settings = [
        ("GATEWAY__RESILIENCE__MAX_CONCURRENT", "1"),
        ("GATEWAY__RESILIENCE__MAX_WAITING", "0"),
    ];
    let registrar = Registrar::with(&settings).await;
    let holds = Upstream::start(|_| {
        Reply::ThenHold(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart".to_vec())
    })
    .await;
    let other = ok().await;
    registrar.register("web", &holds).await.expect(201);
    registrar.register("other", &other).await.expect(201);
    let mut client = registrar.gateway.connect().await;
    client
        .send("GET /proxy/web/ HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    wait_until("the request to arrive", || async {
        holds.seen().len() == 1
    })
    .await;
    // The answer is being read still: its place is taken.
    registrar
        .get("/proxy/web/")
        .await
        .problem(503, "service_overloaded");
    registrar.get("/proxy/other/").await.expect(200);
    drop(client);
    wait_until("the place to be free", || async { holds.closed() == 1 }).await;
    assert_eq!(holds.seen().len(), 1);
}

#[tokio::test]
async fn requests_beyond_what_the_gateway_carries_are_shed() {
    let registrar = Registrar::with(&[("GATEWAY__RESILIENCE__MAX_IN_FLIGHT", "1")]).await;
    let holds = Upstream::start(|_| Reply::ThenHold(Vec::new())).await;
    registrar.register("web", &holds).await.expect(201);
    let mut client = registrar.gateway.connect().await;
    client
        .send("GET /proxy/web/ HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    wait_until("the request to arrive", || async {
        holds.seen().len() == 1
    })
    .await;
    registrar
        .get("/proxy/web/")
        .await
        .problem(503, "overloaded");
    // Its own endpoints answer still.
    registrar.get("/health").await.expect(200);
}

#[tokio::test]
async fn a_fallback_answers_in_place_of_a_service_that_cannot_be_asked() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(
        file,
        "[services.fixed.fallback]\nbody = '{{\"items\":[]}}'\nstatus = 203\n\
         [services.cached.fallback]\ncached_seconds = 60\n\
         [services.replaced.fallback]\nservice = 'standby'\n"
    )
    .unwrap();
    let path = file.path().display().to_string();
    let registrar = Registrar::with(&[("GATEWAY__RESILIENCE__POLICIES_FILE", &path)]).await;
    let standby = Upstream::start(|_| Reply::ok("standby")).await;
    registrar.register("standby", &standby).await.expect(201);
    let cached = Upstream::start(|seen| Reply::ok(&seen.head.start)).await;
    registrar.register("cached", &cached).await.expect(201);
    let alice = "GET /proxy/cached/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n\r\n";
    send(&registrar, alice).await.expect(200);
    cached.stop().await;
    for service in ["fixed", "replaced"] {
        nobody(&registrar, service).await;
    }
    let answer = registrar.get("/proxy/fixed/a").await.expect(203);
    assert_eq!(answer.text(), r#"{"items":[]}"#);
    assert_eq!(
        answer.head.one("content-type").as_deref(),
        Some("application/json")
    );
    let answer = send(&registrar, alice).await.expect(200);
    assert_eq!(
        (answer.text().as_str(), answer.head.one("age").as_deref()),
        ("GET /a HTTP/1.1", Some("0"))
    );
    // What one caller was told is not told another.
    registrar
        .get("/proxy/cached/a")
        .await
        .problem(503, "service_unavailable");
    send(&registrar, &alice.replace("GET", "POST"))
        .await
        .problem(503, "service_unavailable");
    let answer = registrar.get("/proxy/replaced/a").await.expect(200);
    assert_eq!(answer.text(), "standby");
}

#[tokio::test]
async fn a_file_of_policies_that_makes_no_sense_is_refused() {
    for text in [
        "[services.a]\nbalance = 'best'",
        "[services.a]\nbreaker_min_calls = 0",
        "[services.a]\npanic_percent = 101",
        "[services.a]\nhash_header = 'a b'",
        "[services.a]\nretries = 3",
        "[services.a.fallback]\nstatus = 200",
        "[services.a.fallback]\nbody = 'x'\nservice = 'b'",
        "[services.a.fallback]\nbody = 'x'\nstatus = 99",
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let environment = [
            ("MARU_DATA", folder.path().display().to_string()),
            (
                "GATEWAY__RESILIENCE__POLICIES_FILE",
                file.path().display().to_string(),
            ),
            ("GATEWAY__SERVER__PORT", "0".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value));
        let loaded =
            common::settings::load("gateway", gateway_service::DEFAULTS, environment).unwrap();
        let shutdown = common::shutdown::Shutdown::new();
        let built = gateway_service::startup::Application::build(loaded, shutdown).await;
        assert!(built.is_err(), "{text}");
    }
}

/// The services close connections whenever they like; no idempotent request notices, and no POST
/// arrives twice.
#[tokio::test]
async fn connections_that_are_closed_at_random_cost_nothing() {
    let registrar = Registrar::with(&[NO_BREAKER]).await;
    let fickle = || {
        Upstream::start(|seen| {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec();
            let number = seen
                .head
                .one("x-number")
                .and_then(|text| text.parse::<u64>().ok());
            match number.unwrap_or(0).wrapping_mul(2_654_435_761) % 5 {
                // Without a word about it.
                0 => Reply::ThenClose(answer),
                _ => Reply::Bytes(answer),
            }
        })
    };
    let instances = [fickle().await, fickle().await];
    for instance in &instances {
        registrar.register("web", instance).await.expect(201);
    }
    let callers = (0..8_u64).map(|caller| {
        let registrar = &registrar;
        async move {
            let mut client = registrar.gateway.connect().await;
            for call in 0..250 {
                let number = caller * 1_000 + call;
                let method = if call % 5 == 4 { "POST" } else { "GET" };
                let headers = format!("X-Number: {number}\r\n");
                let answer = client.ask(&request(method, &headers, "x")).await;
                if method == "GET" {
                    assert_eq!(answer.status, 200, "{number}");
                }
            }
        }
    });
    join_all(callers).await;
    let mut posts: Vec<String> = instances
        .iter()
        .flat_map(Upstream::seen)
        .filter(|seen| seen.head.start.starts_with("POST") && seen.complete)
        .filter_map(|seen| seen.head.one("x-number"))
        .collect();
    let count = posts.len();
    posts.sort();
    posts.dedup();
    assert_eq!(posts.len(), count, "a POST arrived twice");
    assert!(count > 350, "nearly all of 400 arrived: {count}");
}
