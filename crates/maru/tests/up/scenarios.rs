//! What the launcher must do, one scenario each.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use contracts::services::ServiceName;
use rustix::process::Signal;

use crate::database::Database;
use crate::launcher::{Installation, lives, signal, until};

/// A scenario and its name.
type Scenario = (&'static str, fn());

pub(crate) const ALL: &[Scenario] = &[
    (
        "everything_starts_and_stops_in_good_order",
        everything_starts_and_stops_in_good_order,
    ),
    (
        "a_later_start_finds_the_owner_and_the_secrets",
        a_later_start_finds_the_owner_and_the_secrets,
    ),
    (
        "a_port_in_use_is_named_with_its_owner",
        a_port_in_use_is_named_with_its_owner,
    ),
    (
        "a_killed_service_is_started_again_with_back_off",
        a_killed_service_is_started_again_with_back_off,
    ),
    (
        "services_end_with_a_killed_launcher",
        services_end_with_a_killed_launcher,
    ),
    (
        "a_service_that_cannot_start_is_given_up_with_its_log",
        a_service_that_cannot_start_is_given_up_with_its_log,
    ),
    (
        "a_second_signal_kills_at_once",
        a_second_signal_kills_at_once,
    ),
    ("a_missing_program_is_named", a_missing_program_is_named),
    (
        "one_database_for_all_is_refused_or_divided",
        one_database_for_all_is_refused_or_divided,
    ),
    ("logs_are_shown_on_request", logs_are_shown_on_request),
    (
        "status_waits_for_a_healthy_system",
        status_waits_for_a_healthy_system,
    ),
    (
        "config_prints_what_each_service_says",
        config_prints_what_each_service_says,
    ),
];

fn everything_starts_and_stops_in_good_order() {
    let installation = Installation::new();
    let mut launcher = installation.up(&[]);
    let said = launcher.ready().to_owned();
    for service in ServiceName::all() {
        assert!(
            said.contains(service.binary()),
            "{service} is missing in:\n{said}"
        );
    }
    assert!(
        said.contains("/docs") && said.contains("with the password "),
        "{said}"
    );
    let pids: Vec<u32> = ServiceName::all()
        .filter_map(|s| installation.pid(s))
        .collect();
    assert_eq!(pids.len(), 7);

    let (refused, why) = installation.run(&["up", "--port-base", "auto"], &[]);
    assert_eq!(refused.code(), Some(1));
    let holder = format!("another `maru up` (pid {}) already runs on", launcher.pid());
    assert!(why.contains(&holder), "{why}");

    signal(launcher.pid(), Signal::TERM);
    assert_eq!(launcher.end().code(), Some(0));
    assert!(pids.iter().all(|&pid| !lives(pid)));
    let stopped = installation.text("stopped");
    assert_eq!(stopped.lines().count(), 7, "{stopped}");
    assert!(stopped.starts_with("gateway\n"), "{stopped}");
    assert!(ServiceName::all().all(|service| installation.pid(service).is_none()));
    assert!(
        installation
            .text("logs/order-service.log")
            .contains("order listens")
    );
}

fn a_later_start_finds_the_owner_and_the_secrets() {
    let installation = Installation::new();
    let start = || {
        let mut launcher = installation.up(&[]);
        let said = launcher.ready().to_owned();
        signal(launcher.pid(), Signal::INT);
        assert_eq!(launcher.end().code(), Some(0));
        said
    };
    let first = start();
    let password = first.split("with the password ").nth(1).expect("shown");
    let password = password.lines().next().expect("a line");
    let user = installation.text("user.variables");
    assert!(
        user.contains(&format!("MARU_OWNER_PASSWORD={password}\n")),
        "{user}"
    );
    assert!(user.contains("MARU_SERVICE_ROOT_SECRET="), "{user}");
    let order = installation.text("order.variables");
    assert!(
        !order.contains("PASSWORD") && !order.contains("ROOT"),
        "{order}"
    );

    let second = start();
    assert!(!second.contains("password"), "{second}");
    let secrets = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains("SECRET"));
        lines.map(str::to_owned).collect()
    };
    let both = secrets(&installation.text("order.variables"));
    assert_eq!(both.len(), 2);
    assert_eq!(both[0], both[1]);
}

fn a_port_in_use_is_named_with_its_owner() {
    let installation = Installation::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let variables = [("GATEWAY__SERVER__PORT", port.as_str())];
    let (status, said) = installation.run(&["up", "--only", "gateway"], &variables);
    assert_eq!(status.code(), Some(1));
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains(&format!("port {port} for gateway-service is in use by ")),
        "{said}"
    );
    assert!(
        said.contains(&format!("(pid {})", std::process::id())),
        "{said}"
    );
}

fn a_killed_service_is_started_again_with_back_off() {
    let installation = Installation::new();
    let mut launcher = installation.up(&[]);
    launcher.ready();
    for wait in ["200 ms", "400 ms"] {
        let before = installation.pid(ServiceName::Order).expect("running");
        signal(before, Signal::KILL);
        launcher.wait_for(&format!(
            "order-service ended (signal 9); starting it again in {wait}"
        ));
        launcher.wait_for("order-service is ready again");
        assert_ne!(installation.pid(ServiceName::Order), Some(before));
    }
    signal(launcher.pid(), Signal::TERM);
    assert_eq!(launcher.end().code(), Some(0));
}

fn services_end_with_a_killed_launcher() {
    let installation = Installation::new();
    let mut launcher = installation.up(&[]);
    launcher.ready();
    let pids: Vec<u32> = ServiceName::all()
        .filter_map(|s| installation.pid(s))
        .collect();
    signal(launcher.pid(), Signal::KILL);
    launcher.end();
    // At once, while the services of the first may still be stopping.
    let mut next = installation.up(&[]);
    next.ready();
    assert!(pids.iter().all(|&pid| !lives(pid)));
    signal(next.pid(), Signal::TERM);
    assert_eq!(next.end().code(), Some(0));
}

fn a_service_that_cannot_start_is_given_up_with_its_log() {
    let installation = Installation::new();
    let (status, said) = installation.run(
        &["up", "--port-base", "auto"],
        &[("FAKE_BROKEN", "payment")],
    );
    assert_eq!(status.code(), Some(1));
    assert!(
        said.contains("gave up on payment-service (ended: exit code 3)"),
        "{said}"
    );
    assert!(said.contains("the settings have 1 fault(s)"), "{said}");
    until("the others stopped", || {
        installation.text("stopped").lines().count() == 6
    });
}

fn a_second_signal_kills_at_once() {
    let installation = Installation::new();
    let mut launcher = installation.up(&[("FAKE_STUBBORN", "iot")]);
    launcher.ready();
    let iot = installation.pid(ServiceName::Iot).expect("running");
    signal(launcher.pid(), Signal::TERM);
    launcher.wait_for("stopping");
    // The echo of the first, not a second one.
    signal(launcher.pid(), Signal::TERM);
    until("all were asked to stop", || {
        installation.text("stopped").lines().count() == 7
    });
    assert!(lives(iot));
    let begun = Instant::now();
    assert_eq!(launcher.end_hurried().code(), Some(0));
    assert!(!lives(iot));
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "it waited for the stubborn one"
    );
}

fn a_missing_program_is_named() {
    let installation = Installation::new();
    std::fs::remove_file(installation.program("iot-service")).expect("removed");
    let (status, said) = installation.run(&["up"], &[]);
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("not built: iot-service"), "{said}");
}

fn config_prints_what_each_service_says() {
    let installation = Installation::new();
    let (status, said) = installation.run(&["config", "order", "--json"], &[]);
    assert!(status.success());
    let settings: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(settings["order"][0]["key"], "server.port");
    let (_, said) = installation.run(&["config"], &[]);
    assert!(
        said.contains("gateway-service") && said.contains("server.port"),
        "{said}"
    );
}

fn status_waits_for_a_healthy_system() {
    let installation = Installation::new();
    let mut launcher = installation.up(&[]);
    let said = launcher.ready().to_owned();
    let gateway = said
        .lines()
        .find_map(|line| line.strip_prefix("Gateway"))
        .expect("the gateway's address")
        .trim();
    // It finds the system by its data folder.
    let (status, said) = installation.run(&["status", "--wait", "30"], &[]);
    assert!(status.success(), "{said}");
    assert!(said.contains("order    HEALTHY"), "{said}");
    assert!(said.contains("The system is healthy."), "{said}");
    signal(launcher.pid(), Signal::TERM);
    assert_eq!(launcher.end().code(), Some(0));
    let (status, said) = installation.run(&["status", "--gateway", gateway], &[]);
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("does not answer"), "{said}");
}

fn one_database_for_all_is_refused_or_divided() {
    let installation = Installation::new();
    let one = [("DATABASE_URL", "postgres://maru:secret@127.0.0.1/maru")];
    let (status, said) = installation.run(&["up", "--port-base", "auto"], &one);
    assert_eq!(status.code(), Some(1));
    assert!(
        said.contains("put {service} into it or give --create-schemas"),
        "{said}"
    );

    // The rest needs a server.
    if std::env::var("MARU_TEST_PROFILE").as_deref() != Ok("infrastructure") {
        return;
    }
    let database = Database::create();
    let mut launcher = installation.up_with(
        &["up", "--port-base", "auto", "--create-schemas"],
        &[("DATABASE_URL", database.url.as_str())],
    );
    let said = launcher.ready();
    assert!(
        said.contains("schema order") && !said.contains(&database.url),
        "{said}"
    );
    let order = installation.text("order.variables");
    let own = format!(
        "DATABASE_URL={}?options=-c%20search_path%3Dorder\n",
        database.url
    );
    assert!(order.contains(&own), "{order}");
    assert_eq!(database.schemas(), 7);
    signal(launcher.pid(), Signal::TERM);
    assert_eq!(launcher.end().code(), Some(0));
}

fn logs_are_shown_on_request() {
    let installation = Installation::new();
    let arguments = [
        "up",
        "--port-base",
        "auto",
        "--foreground-logs",
        "--only",
        "order,iot",
    ];
    let mut launcher = installation.up_with(&arguments, &[]);
    let said = launcher.ready().to_owned();
    if !said.contains("order | order listens") {
        launcher.wait_for("order | order listens");
    }
    assert!(!said.contains("gateway-service"), "{said}");
    signal(launcher.pid(), Signal::TERM);
    assert_eq!(launcher.end().code(), Some(0));
}
