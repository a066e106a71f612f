//! A typed client of the gateway, for the subcommands: it logs in, keeps the session fresh and
//! repeats what is safe to repeat until an answer comes.
//!
//! A call is repeated with back-off after a connection error and after 429, 502, 503 and 504, never
//! sooner than `Retry-After` says. A `POST` is repeated after an ambiguous failure only when it
//! carries an idempotency key or is declared [`Call::repeatable`]; otherwise only after failures
//! that prove the server did nothing. Once an answer's head has arrived nothing is repeated, so a
//! streamed body is never started twice.
//!
//! It is not for calls between services: those go through `resilience`.

mod call;
mod error;
mod pages;
mod retry;
mod session;

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Method;
use secrecy::SecretString;
use tokio::time::Instant;

pub use call::{Answer, Call};
pub use error::{ClientError, Problem};
pub use pages::Pages;
pub use retry::RetryPolicy;

use session::{Credentials, Session};

/// How to reach the gateway and as whom.
#[derive(Clone, Debug, clap::Args)]
pub struct GatewayArgs {
    /// Address of the gateway
    #[arg(
        long,
        env = "MARU_GATEWAY_URL",
        default_value = "http://127.0.0.1:5000"
    )]
    pub gateway: String,
    /// Account to log in with
    #[arg(long, env = "MARU_OWNER_EMAIL", default_value = "owner@maru.local")]
    pub email: String,
    /// Its password
    #[arg(
        long,
        env = "MARU_OWNER_PASSWORD",
        hide_env_values = true,
        value_parser = secret
    )]
    pub password: Option<SecretString>,
    /// A code of its generator, or a recovery code, when it has a second factor
    #[arg(long, env = "MARU_OWNER_CODE", hide_env_values = true, value_parser = secret)]
    pub code: Option<SecretString>,
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "clap takes parsers that return a Result"
)]
fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(SecretString::from(text))
}

/// The gateway, with a session. Shared by reference between concurrent calls.
#[derive(Debug)]
pub struct Gateway {
    http: reqwest::Client,
    base: String,
    session: Session,
    policy: RetryPolicy,
    repeats: AtomicU64,
}

impl Gateway {
    /// A client that logs in with the first call that needs it.
    ///
    /// # Errors
    /// When the address is no URL, when no password is given, or when TLS cannot be set up.
    pub fn new(args: &GatewayArgs) -> Result<Self, ClientError> {
        Self::with_policy(args, RetryPolicy::default())
    }

    /// As [`Gateway::new`], with another patience.
    ///
    /// # Errors
    /// As for [`Gateway::new`].
    pub fn with_policy(args: &GatewayArgs, policy: RetryPolicy) -> Result<Self, ClientError> {
        let password = args.password.clone().ok_or(ClientError::NoPassword)?;
        let base = args.gateway.trim_end_matches('/').to_owned();
        let url = reqwest::Url::parse(&base)
            .ok()
            .filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| ClientError::BadAddress(base.clone()))?;
        Ok(Self {
            http: http_client(&url, &policy)?,
            base,
            session: Session::new(Credentials {
                email: args.email.clone(),
                password,
                code: args.code.clone(),
            }),
            policy,
            repeats: AtomicU64::new(0),
        })
    }

    /// Logs in now, so that a wrong password is said before any work starts.
    ///
    /// # Errors
    /// [`ClientError::LoginRefused`] for a wrong e-mail or password, [`ClientError::CodeMissing`] and
    /// [`ClientError::FactorMissing`] for want of a second factor; else what the call met.
    pub async fn log_in(&self) -> Result<(), ClientError> {
        let deadline = Instant::now() + self.policy.patience;
        self.session.token(self, None, deadline).await.map(drop)
    }

    /// An access token of the session, to call with by other means.
    ///
    /// # Errors
    /// As for [`Gateway::log_in`].
    pub async fn access_token(&self) -> Result<SecretString, ClientError> {
        let deadline = Instant::now() + self.policy.patience;
        let token = self.session.token(self, None, deadline).await?;
        Ok(token.access)
    }

    /// Ends the session at the server. The client may go on: the next call logs in again.
    pub async fn log_out(&self) {
        self.session.end(self).await;
    }

    /// The address of the gateway, without a slash at its end.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// How many times a request had to be sent again so far.
    #[must_use]
    pub fn repeats(&self) -> u64 {
        self.repeats.load(Ordering::Relaxed)
    }

    /// A read of `path`, which begins with a slash.
    #[must_use]
    pub fn get(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::GET, path.into())
    }

    /// A write that may be repeated by nature.
    #[must_use]
    pub fn put(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::PUT, path.into())
    }

    /// A removal.
    #[must_use]
    pub fn delete(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::DELETE, path.into())
    }

    /// A write; see [`Call::key`] and [`Call::repeatable`].
    #[must_use]
    pub fn post(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::POST, path.into())
    }

    /// The pages of a list, one after the other. `path` may carry a query.
    #[must_use]
    pub fn pages<T>(&self, path: impl Into<String>) -> Pages<'_, T> {
        Pages::new(self, path.into())
    }
}

/// Connections stay open between calls. There is no limit on the whole of an answer, only on
/// the silence within it, so that a long export does not break off.
pub(crate) fn http_client(
    url: &reqwest::Url,
    policy: &RetryPolicy,
) -> Result<reqwest::Client, ClientError> {
    // Another part of the program may have installed it already; then that one serves.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("maru/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(policy.answer_timeout);
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    if url.scheme() == "http" {
        // Nobody's certificate is ever looked at: loading the system's would only cost memory.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(ClientError::Setup)
}

fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
