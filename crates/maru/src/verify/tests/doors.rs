//! A server on a free port that plays every service, and answers every request with one status.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::up::database::SchemaPolicy;
use crate::up::layout::{Layout, LayoutOptions};
use crate::up::variables::Variables;

const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"AAAA"}]}"#;

/// The layout of a system whose every port is this server's.
pub(super) async fn system_that_answers(status: &'static str) -> Layout {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_all(stream, status));
        }
    });
    let options = LayoutOptions {
        port_base: Some(5000),
        schemas: SchemaPolicy::Refuse,
    };
    let mut layout = Layout::resolve(&Variables::default(), &options).expect("resolves");
    for placement in &mut layout.placements {
        placement.http_port = port;
    }
    layout
}

async fn answer_all(mut stream: TcpStream, status: &'static str) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !is_complete(&request) {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = if request.starts_with(b"GET /.well-known/jwks.json") {
        ("200 OK", KEYS)
    } else {
        (status, "{}")
    };
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// Whether the head and as much body as it announces are there.
fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let announced = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, length)| length.trim().parse().ok());
    body.len() >= announced.unwrap_or(0)
}
