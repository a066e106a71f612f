//! A client for one service: sends JSON, gives back status and JSON, and says what it saw when that
//! is not what was expected.

use std::fmt;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use common::error::{PROBLEM_JSON, Problem};

/// No answer may take longer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A client with a base address and, mostly, a token. Clones share the connections.
#[derive(Clone)]
pub struct ApiClient {
    base: String,
    http: reqwest::Client,
    token: Option<String>,
}

impl ApiClient {
    /// A client without a token for the service at `base`, such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn new(base: impl fmt::Display) -> Self {
        Self {
            base: base.to_string().trim_end_matches('/').to_owned(),
            http: resilience::plain_http(TIMEOUT),
            token: None,
        }
    }

    /// The same client with this bearer token.
    #[must_use]
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self {
            token: Some(token.into()),
            ..self.clone()
        }
    }

    /// The same client without a token.
    #[must_use]
    pub fn without_token(&self) -> Self {
        Self {
            token: None,
            ..self.clone()
        }
    }

    /// The address of the service.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// `GET` of a path, query included.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    /// `POST` of a JSON body.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Reply {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// `POST` of a JSON body with an `Idempotency-Key`.
    pub async fn post_with_key(&self, path: &str, key: &str, body: &impl Serialize) -> Reply {
        let request = self.request(Method::POST, path);
        self.send(request.header("idempotency-key", key).json(body))
            .await
    }

    /// `PUT` of a JSON body.
    pub async fn put(&self, path: &str, body: &impl Serialize) -> Reply {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// `DELETE` of a path.
    pub async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// A request to fill in by hand, with this client's token.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.timeout(TIMEOUT).bearer_auth(token),
            None => request.timeout(TIMEOUT),
        }
    }

    /// Sends a request and reads the whole answer; of server-sent events, which have no end, the head.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let request = request.build().expect("the request is well formed");
        let what = format!("{} {}", request.method(), request.url().path());
        let answer = async {
            let response = self.http.execute(request).await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
            let text = match content_type == Some(b"text/event-stream") {
                true => String::new(),
                false => response.text().await?,
            };
            Ok::<_, reqwest::Error>((status, headers, text))
        };
        match answer.await {
            Ok((status, headers, text)) => Reply {
                what,
                status,
                headers,
                text,
            },
            Err(error) => panic!(
                "{what} has no answer: {}",
                common::error::ErrorChain(&error)
            ),
        }
    }
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    what: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Reply {
    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is something else.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        match serde_json::from_str(&self.text) {
            Ok(value) => value,
            Err(error) => panic!("{self} cannot be read as expected: {error}"),
        }
    }

    /// The body as JSON, if the status is this one. An empty body is `null`.
    ///
    /// # Panics
    /// When the status is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        if self.text.is_empty() {
            return Value::Null;
        }
        self.json()
    }

    /// The body as this type, if the status is this one.
    ///
    /// # Panics
    /// When the status or the form is another.
    #[track_caller]
    #[must_use]
    pub fn expect_as<T: DeserializeOwned>(self, status: u16) -> T {
        assert_eq!(self.status, status, "{self}");
        self.json()
    }

    /// The problem, if the answer is `application/problem+json` with this status and code.
    ///
    /// # Panics
    /// When it is something else.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Problem {
        assert_eq!(self.status, status, "{self}");
        assert_eq!(self.header("content-type"), Some(PROBLEM_JSON), "{self}");
        let problem: Problem = self.json();
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (status, code),
            "{self}"
        );
        problem
    }

    /// The fields that a 422 `invalid_fields` names.
    ///
    /// # Panics
    /// When the answer is something else.
    #[track_caller]
    #[must_use]
    pub fn expect_invalid(self) -> Vec<String> {
        let problem = self.expect_problem(422, "invalid_fields");
        problem
            .errors
            .into_iter()
            .map(|error| error.field)
            .collect()
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered {}: {}", self.what, self.status, self.text)
    }
}
