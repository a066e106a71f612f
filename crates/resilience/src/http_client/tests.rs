//! Against a server that answers by a script, one connection per answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::auth::{TokenSource, TokenSourceError};
use common::context::RequestContext;
use common::error::ApiError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::backoff::BackoffParams;
use crate::breaker::BreakerState;

/// What the server does with a connection after reading the request.
#[derive(Clone, Copy)]
enum Reaction {
    Answer(&'static str, &'static str),
    Hang,
    Close,
}

use Reaction::{Answer as Reply, Close, Hang};

const OK: Reaction = Reply("200 OK", "{\"n\":1}");
const BUSY: Reaction = Reply("503 Service Unavailable", "");

struct Script {
    base: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(script: &[Reaction]) -> Script {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&requests);
    let script = script.to_vec();
    tokio::spawn(async move {
        let mut held = Vec::new();
        for reaction in script {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = read_head(&mut stream).await;
            seen.lock().unwrap().push(head);
            match reaction {
                Reply(status, body) => {
                    let length = body.len();
                    let answer = format!(
                        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nlocation: /other\r\n\
                         connection: close\r\n\r\n{body}"
                    );
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
                Hang => held.push(stream),
                Close => drop(stream),
            }
        }
        std::future::pending::<()>().await;
    });
    Script { base, requests }
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut buffer = [0; 4_096];
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the client closed early");
        head.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8(head).unwrap()
}

fn quick() -> HttpClientParams {
    let backoff = BackoffParams {
        base: Duration::from_millis(1),
        max: Duration::from_millis(1),
    };
    HttpClientParams {
        attempt_timeout: Duration::from_millis(300),
        total_timeout: Duration::from_secs(2),
        max_answer_bytes: 64,
        retry: RetryParams {
            backoff,
            ..RetryParams::default()
        },
        ..HttpClientParams::default()
    }
}

fn target(script: &Script) -> Target {
    target_with(quick(), script)
}

fn target_with(params: HttpClientParams, script: &Script) -> Target {
    let client = HttpClient::try_new(params).unwrap();
    client.target("neighbour", &script.base).unwrap()
}

struct FixedToken;

#[async_trait]
impl TokenSource for FixedToken {
    async fn token(&self) -> Result<Arc<str>, TokenSourceError> {
        Ok("service-token".into())
    }
}

#[test]
fn nonsense_is_refused() {
    let good = HttpClientParams::default();
    for params in [
        HttpClientParams {
            connect_timeout: Duration::ZERO,
            ..good
        },
        HttpClientParams {
            total_timeout: Duration::from_millis(1),
            ..good
        },
        HttpClientParams {
            max_answer_bytes: 0,
            ..good
        },
    ] {
        assert!(HttpClient::try_new(params).is_err());
    }
    let client = HttpClient::try_new(good).unwrap();
    for url in [
        "",
        "localhost:5000",
        "ftp://host",
        "http://",
        "http://h/?a=1",
    ] {
        assert!(client.target("x", url).is_err(), "{url}");
    }
}

#[tokio::test]
async fn identity_context_and_deadline_travel_with_the_call() {
    let script = serve(&[OK]).await;
    let client = HttpClient::try_new(quick())
        .unwrap()
        .with_tokens(Arc::new(FixedToken));
    let target = client.target("neighbour", &script.base).unwrap();
    let mut context = RequestContext::from_texts(Some("req-1"), None);
    context.user_token = Some("user-token".to_owned());
    let traceparent = context.traceparent.clone();
    let call = target.get("/things").query("name", "a b&c").send();
    let answer = context.scope(call).await.unwrap();

    assert_eq!(answer.json::<serde_json::Value>().unwrap()["n"], 1);
    let request = script.requests().remove(0);
    assert!(
        request.starts_with("GET /things?name=a+b%26c HTTP/1.1\r\n"),
        "{request}"
    );
    for line in [
        "authorization: Bearer service-token".to_owned(),
        "x-user-token: user-token".to_owned(),
        "x-request-id: req-1".to_owned(),
        format!("traceparent: {traceparent}"),
    ] {
        assert!(request.contains(&line), "{line} is not in {request}");
    }
    let left = request.split("x-request-deadline-ms: ").nth(1).unwrap();
    let left: u64 = left.split("\r\n").next().unwrap().parse().unwrap();
    assert!((1..=2_000).contains(&left), "{left} ms");
}

#[tokio::test]
async fn a_call_in_the_users_name_carries_only_the_users_token() {
    let script = serve(&[OK]).await;
    let client = HttpClient::try_new(quick())
        .unwrap()
        .with_tokens(Arc::new(FixedToken));
    let target = client.target("neighbour", &script.base).unwrap();
    let mut context = RequestContext::background();
    context.user_token = Some("user-token".to_owned());
    let call = target.get("/").credentials(Credentials::User).send();
    context.scope(call).await.unwrap();
    let request = script.requests().remove(0);
    assert!(request.contains("authorization: Bearer user-token\r\n"));
    assert!(!request.contains("service-token"));
}

#[tokio::test]
async fn what_is_idempotent_is_repeated() {
    let script = serve(&[BUSY, Close, OK]).await;
    let answer = target(&script).get("/").send().await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(script.requests().len(), 3);

    let script = serve(&[BUSY, OK]).await;
    let call = target(&script)
        .post("/")
        .header("Idempotency-Key", "k")
        .json(&[1]);
    assert_eq!(call.send().await.unwrap().status, 200);
    assert_eq!(script.requests().len(), 2);
}

#[tokio::test]
async fn what_is_not_idempotent_is_sent_once() {
    let script = serve(&[BUSY, OK]).await;
    let answer = target(&script).post("/").json(&[1]).send().await.unwrap();
    assert_eq!(answer.status, 503);
    assert_eq!(script.requests().len(), 1);
    let error = answer.success().unwrap_err();
    assert!(!error.is_unsent());
    assert_eq!(ApiError::from(error).status(), 503);
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_leaves_the_breaker_closed() {
    let refusals = [Reply("404 Not Found", "{}"); 30];
    let script = serve(&refusals).await;
    let target = target(&script);
    for _ in refusals {
        assert_eq!(target.get("/").send().await.unwrap().status, 404);
    }
    assert_eq!(target.breaker().state(), BreakerState::Closed);
}

#[tokio::test]
async fn a_failing_neighbour_is_left_alone() {
    let failures = [Reply("500 Internal Server Error", "secret cause"); 20];
    let script = serve(&failures).await;
    let target = target(&script);
    for _ in failures {
        assert_eq!(target.get("/").send().await.unwrap().status, 500);
    }
    let error = target.get("/").send().await.unwrap_err();
    assert!(matches!(error, CallError::CircuitOpen(_)), "{error}");
    assert!(error.is_unsent());
    assert_eq!(script.requests().len(), 20);
}

#[tokio::test]
async fn a_silent_neighbour_is_given_up_in_time() {
    let script = serve(&[Hang]).await;
    let started = std::time::Instant::now();
    let error = target(&script).post("/").send().await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut(_)), "{error}");
    assert!(!error.is_unsent());
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn the_current_deadline_cuts_every_attempt() {
    let script = serve(&[Hang, Hang, Hang]).await;
    let patient = HttpClientParams {
        attempt_timeout: Duration::from_secs(20),
        total_timeout: Duration::from_secs(20),
        ..quick()
    };
    let target = target_with(patient, &script);
    let started = std::time::Instant::now();
    let deadline = crate::Deadline::after(Duration::from_millis(100));
    let error = deadline.scope(target.get("/").send()).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut(_)), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(script.requests().len(), 1);
}

#[tokio::test]
async fn an_absent_neighbour_did_not_see_the_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = HttpClient::try_new(quick()).unwrap();
    let error = client.target("gone", &base).unwrap().post("/").send().await;
    let error = error.unwrap_err();
    assert!(matches!(error, CallError::Unreachable(_)), "{error}");
    assert!(error.is_unsent());
}

#[tokio::test]
async fn redirects_and_oversized_answers_are_not_followed() {
    let long = "x".repeat(100).leak();
    let script = serve(&[Reply("302 Found", ""), Reply("200 OK", long)]).await;
    let target = target(&script);
    assert_eq!(target.get("/").send().await.unwrap().status, 302);
    let error = target.get("/").send().await.unwrap_err();
    assert!(
        matches!(error, CallError::AnswerTooLarge { max_bytes: 64 }),
        "{error}"
    );
}

#[tokio::test]
async fn a_call_that_cannot_be_described_is_not_sent() {
    let script = serve(&[OK]).await;
    let call = target(&script).get("/").header("x-bad", "line\nbreak");
    let error = call.send().await.unwrap_err();
    assert!(matches!(error, CallError::Malformed(_)), "{error}");
    assert_eq!(script.requests().len(), 0);
}
