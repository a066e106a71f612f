//! One exchange, and whether both sides got what the other one sent.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::plan::Plan;
use super::service::{Service, send_body};
use crate::wire::{Body, Framing, Head, Reader, status};

/// No exchange may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the gateway adds to a request (`docs/gateway.md`).
const ADDED_TO_REQUESTS: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-request-id",
    "traceparent",
    "via",
];

/// What the gateway adds to an answer.
const ADDED_TO_ANSWERS: [&str; 7] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "date",
    "vary",
    "via",
    "x-request-id",
];

/// Sends a message, reads the answer, and compares both with the plan.
pub(super) async fn run(address: SocketAddr, plan: &Plan, service: &Service) -> anyhow::Result<()> {
    service.expect(plan);
    let conversed = timeout(PATIENCE, converse(address, plan)).await;
    let mut seen = service.take(plan.number);
    let got = conversed.context("no answer within 60 s")??;
    ensure!(seen.len() == 1, "it arrived {} times", seen.len());
    let seen = seen.remove(0);
    let line = format!("{} {} HTTP/1.1", plan.method, plan.target());
    ensure!(seen.head.start == line, "it arrived as {}", seen.head.start);
    let framing = plan.request.arrives_as();
    ensure!(
        seen.framing == framing,
        "it was framed as {:?}",
        seen.framing
    );
    ensure!(seen.body == plan.request.body(), "its body was altered");
    same_headers(&plan.request.headers, &seen.head, &ADDED_TO_REQUESTS).context("request")?;
    check_answer(plan, got)
}

/// An answer as far as it came.
struct Got {
    head: Head,
    framing: Framing,
    body: Body,
    whole: bool,
}

async fn converse(address: SocketAddr, plan: &Plan) -> anyhow::Result<Option<Got>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut head = format!("{} {} HTTP/1.1\r\nHost: x\r\n", plan.method, plan.target());
    head += &plan.request.frame();
    let mut head = head.into_bytes();
    for (name, value) in &plan.request.headers {
        head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    write.write_all(&head).await?;
    send_body(&mut write, &plan.request).await?;
    let mut reader = Reader::new(read);
    // The head is lost with the connection when the service has broken off before it was written.
    let head = match reader.head().await {
        Ok(Some(head)) => head,
        Ok(None) | Err(_) if plan.answer.breaks_off_at.is_some() => return Ok(None),
        Ok(None) => anyhow::bail!("no answer"),
        Err(error) => return Err(error).context("the answer's head"),
    };
    let framing = head.framing()?;
    let mut body = Body::default();
    let bodiless = plan.method == "HEAD" || matches!(plan.status, 204 | 304);
    let read = match framing {
        _ if bodiless => Ok(()),
        framing => reader.body(framing, &mut body).await,
    };
    Ok(Some(Got {
        head,
        framing,
        body,
        whole: read.is_ok(),
    }))
}

fn check_answer(plan: &Plan, got: Option<Got>) -> anyhow::Result<()> {
    if plan.answer.breaks_off_at.is_some() {
        let looks_whole = got.is_some_and(|got| got.whole && status(&got.head.start) != Some(502));
        ensure!(!looks_whole, "a part of the answer arrived as the whole");
        return Ok(());
    }
    let got = got.context("no answer")?;
    let code = status(&got.head.start);
    ensure!(
        code == Some(plan.status),
        "the status became {}",
        got.head.start
    );
    ensure!(got.whole, "the answer broke off");
    let bodiless = plan.method == "HEAD" || matches!(plan.status, 204 | 304);
    if !bodiless {
        let framing = plan.answer.arrives_as();
        ensure!(
            got.framing == framing,
            "the answer was framed as {:?}",
            got.framing
        );
        ensure!(
            got.body == plan.answer.body(),
            "the answer's body was altered"
        );
    }
    same_headers(&plan.answer.headers, &got.head, &ADDED_TO_ANSWERS).context("answer")
}

/// All that were sent are there, those of one name in their order, and no others but the added ones.
fn same_headers(sent: &[(String, Vec<u8>)], head: &Head, added: &[&str]) -> anyhow::Result<()> {
    for (name, _) in sent {
        let before: Vec<&[u8]> = sent
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value.as_slice())
            .collect();
        let after: Vec<&[u8]> = head.all(name).collect();
        ensure!(
            before == after,
            "{name} was {before:?} and became {after:?}"
        );
    }
    let known = |name: &str| added.contains(&name) || sent.iter().any(|(sent, _)| sent == name);
    let strange = head.headers.iter().find(|(name, _)| !known(name));
    match strange {
        Some((name, _)) => anyhow::bail!("{name} was added"),
        None => Ok(()),
    }
}
