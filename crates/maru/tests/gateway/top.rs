//! `maru top` before a real gateway.

use std::net::{SocketAddr, TcpListener};
use std::process::{Output, Stdio};
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use common::shutdown::Shutdown;
use gateway_service::startup::Application;
use testkit::TestDatabase;
use tokio::process::Command;

/// Nothing that ends by itself takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

async fn answer(request: HttpRequest) -> HttpResponse {
    match request.path() {
        "/health" => HttpResponse::Ok().json(serde_json::json!({
            "status": "healthy", "service": "test", "version": "1", "uptime_s": 1, "checks": []
        })),
        path if path.ends_with("/broken") => HttpResponse::InternalServerError().finish(),
        _ => HttpResponse::Ok().body("x"),
    }
}

/// A service that stands for all of them.
fn service() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = HttpServer::new(|| App::new().default_service(web::to(answer)));
    let server = server
        .workers(1)
        .disable_signals()
        .listen(listener)
        .unwrap();
    tokio::spawn(server.run());
    address
}

/// A gateway; it stops with the second value.
struct Gateway {
    address: SocketAddr,
    shutdown: Shutdown,
    _database: TestDatabase,
}

impl Gateway {
    async fn start() -> Self {
        let service = service();
        let database = TestDatabase::create().await;
        let names = ["USER", "INVENTORY", "ORDER", "ANALYTICS", "IOT", "PAYMENT"];
        let places = names.map(|name| (format!("{name}_URL"), format!("http://{service}")));
        let own = [
            ("GATEWAY__SERVER__PORT", "0"),
            ("GATEWAY__SERVER__WORKERS", "1"),
            ("GATEWAY__DATABASE__URL", database.url()),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment = places.into_iter().chain(own);
        let settings = common::settings::load("gateway", gateway_service::DEFAULTS, environment);
        let shutdown = Shutdown::new();
        let application = Application::build(settings.unwrap(), shutdown.clone())
            .await
            .unwrap();
        let address = application.address();
        tokio::spawn(application.run_until_stopped());
        Self {
            address,
            shutdown,
            _database: database,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

async fn top(gateway: &str, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maru"));
    command.arg("top").args(words).args(["--gateway", gateway]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(PATIENCE, command.output())
        .await
        .unwrap()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn one_view_shows_what_passes_a_real_gateway() {
    let gateway = Gateway::start().await;
    let url = gateway.url();
    let client = testkit::ApiClient::new(&url);
    let client = &client;
    let traffic = async {
        loop {
            for path in [
                "/api/orders/1",
                "/api/orders/2",
                "/api/orders/broken",
                "/api/iot/devices",
            ] {
                client.get(path).await;
            }
        }
    };
    let output = tokio::select! {
        output = top(&url, &["--once", "--interval", "1500"]) => output,
        () = traffic => unreachable!("it has no end"),
    };
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let words_of = |start: &str| {
        let line = shown.lines().find(|line| line.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("{start}:\n{shown}"));
        line.split_whitespace()
            .map(ToOwned::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(shown.starts_with(&url), "{shown}");
    let [_, service, rate, failures, refusals, ..] = &words_of("/api/orders ")[..] else {
        panic!("{shown}");
    };
    assert_eq!((service.as_str(), refusals.as_str()), ("order", "-"));
    assert!(rate.parse::<f64>().unwrap() > 1.0, "{shown}");
    let failures: f64 = failures.strip_suffix('%').unwrap().parse().unwrap();
    assert!((20.0..50.0).contains(&failures), "{shown}");
    let iot = words_of("/api/iot ");
    assert_eq!((iot[1].as_str(), iot[3].as_str()), ("iot", "-"));
    assert!(shown.contains("<1 ms") || shown.contains(" ms "), "{shown}");
    let order = words_of("order ");
    assert_eq!(
        (order[2].as_str(), order[3].as_str()),
        ("HEALTHY", "closed"),
        "{shown}"
    );
    assert!(order[4].parse::<f64>().unwrap() > 1.0, "{shown}");
    for name in [
        "gateway ",
        "user ",
        "inventory ",
        "analytics ",
        "payment ",
        "iot ",
    ] {
        words_of(name);
    }
}

#[tokio::test]
async fn without_a_gateway_or_a_terminal_it_says_so() {
    let nobody = top("http://127.0.0.1:1", &["--once"]).await;
    assert_eq!(nobody.status.code(), Some(1));
    let said = text(&nobody.stderr);
    assert!(
        said.contains("the gateway at http://127.0.0.1:1 does not answer"),
        "{said}"
    );
    let piped = top("http://127.0.0.1:1", &[]).await;
    assert_eq!(
        (piped.status.code(), text(&piped.stdout).as_str()),
        (Some(1), "")
    );
    assert!(
        text(&piped.stderr).contains("maru top --once"),
        "{}",
        text(&piped.stderr)
    );
    let other = format!("http://{}", service());
    let other = top(&other, &["--once"]).await;
    assert!(
        text(&other.stderr).contains("gives no status"),
        "{}",
        text(&other.stderr)
    );
}
