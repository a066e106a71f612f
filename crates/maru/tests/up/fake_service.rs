//! A process that behaves to the launcher as a service does: it answers `/ready` on its port, and
//! stops on SIGTERM or when its launcher is gone. `FAKE_BROKEN` and `FAKE_STUBBORN` name services
//! that end at once, or do not stop when asked.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use common::shutdown::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const LOGIN: &str =
    r#"{"access_token":"a","refresh_token":"r","token_type":"Bearer","expires_in":900}"#;
const STATUS: &str = r#"{"status":"healthy","services":[{"name":"order","status":"HEALTHY"}]}"#;
const ENTRY: &str = r#"{"key":"server.port","value":"1","default":"1","unit":"","description":"Port.","source":"default","secret":false}"#;

pub(crate) fn run(service: &str) -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("config") {
        println!("[{ENTRY}]");
        return ExitCode::SUCCESS;
    }
    if named_in("FAKE_BROKEN", service) {
        eprintln!("the settings have 1 fault(s)");
        return ExitCode::from(3);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(serve(service));
    runtime.shutdown_background();
    ExitCode::SUCCESS
}

fn named_in(variable: &str, service: &str) -> bool {
    std::env::var(variable).is_ok_and(|names| names.split(',').any(|name| name == service))
}

async fn serve(service: &str) {
    let port = std::env::var(format!("{}__SERVER__PORT", service.to_uppercase()));
    let port: u16 = port.expect("a port").parse().expect("a number");
    let listener = TcpListener::bind(("127.0.0.1", port))
        .await
        .expect("the port is free");
    println!("{service} listens");
    note(&format!("{service}.variables"), &variables());
    let shutdown = Shutdown::on_signals();
    loop {
        tokio::select! {
            connection = listener.accept() => {
                let (stream, _) = connection.expect("a connection");
                tokio::spawn(answer(stream));
            }
            () = shutdown.triggered() => break,
        }
    }
    note("stopped", &format!("{service}\n"));
    if named_in("FAKE_STUBBORN", service) {
        std::future::pending::<()>().await;
    }
}

/// The variables a scenario looks at.
fn variables() -> String {
    [
        "MARU_SERVICE_SECRET",
        "MARU_SERVICE_ROOT_SECRET",
        "MARU_OWNER_PASSWORD",
        "ORDER_URL",
        "DATABASE_URL",
    ]
    .iter()
    .filter_map(|name| Some(format!("{name}={}\n", std::env::var(name).ok()?)))
    .collect()
}

/// Appends to a file in the data folder, where the scenario reads it.
fn note(file: &str, text: &str) {
    let data = PathBuf::from(std::env::var_os("MARU_DATA").expect("a data folder"));
    let mut file = std::fs::File::options()
        .append(true)
        .create(true)
        .open(data.join(file))
        .expect("opens");
    file.write_all(text.as_bytes()).expect("writes");
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    // The body follows in the same write; nothing in it matters.
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let body = if request.starts_with(b"POST /api/auth/login") {
        LOGIN
    } else if request.starts_with(b"GET /api/services/status") {
        STATUS
    } else {
        "{}"
    };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let length = body.len();
    let answer = format!("{head}Content-Length: {length}\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
