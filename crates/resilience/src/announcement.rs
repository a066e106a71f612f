//! A service makes itself known to the gateway's registry, keeps its lease, and leaves before it
//! stops. Without a gateway's address it does none of this, and works as well.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::auth::{TokenSource, TokenSourceError};
use common::server::RunningServer;
use common::settings::CommonSettings;
use reqwest::{Client, Method, StatusCode};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::backoff::{Backoff, BackoffParams, Jitter};
use crate::http_client::plain_http;

/// Longest wait for a connection to the gateway, and for its answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Heartbeats in the time of one lease: two may be lost.
const HEARTBEATS_PER_LEASE: u32 = 3;
/// Waits while the gateway cannot be reached.
const BACKOFF: BackoffParams = BackoffParams {
    base: Duration::from_millis(200),
    max: Duration::from_secs(2),
};

/// What a service tells the registry.
pub struct Announcement {
    name: &'static str,
    gateway_url: String,
    advertise_url: String,
    /// The service's address as its neighbours have it.
    own_url: String,
    ttl: Duration,
    tokens: Arc<dyn TokenSource>,
}

/// Why the registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
enum AnnounceError {
    #[error(transparent)]
    Token(#[from] TokenSourceError),
    #[error("the gateway could not be asked")]
    Gateway(#[from] reqwest::Error),
    #[error("the gateway answered {0}")]
    Refused(StatusCode),
}

impl Announcement {
    /// For the service `name` (such as `order`), which proves itself with `tokens`.
    #[must_use]
    pub fn of(name: &'static str, settings: &CommonSettings, tokens: Arc<dyn TokenSource>) -> Self {
        let trimmed = |text: &str| text.trim_end_matches('/').to_owned();
        Self {
            name,
            gateway_url: trimmed(&settings.neighbours.gateway_url),
            advertise_url: trimmed(&settings.discovery.advertise_url),
            own_url: trimmed(settings.neighbours.url_of(name).unwrap_or_default()),
            ttl: Duration::from_millis(settings.discovery.ttl_ms),
            tokens,
        }
    }

    /// Announces a server that listens, and takes it back before the server stops.
    #[must_use]
    pub fn start(self, server: RunningServer) -> RunningServer {
        if self.gateway_url.is_empty() {
            return server;
        }
        let announced = self.begin(server.address());
        server.with_farewell(announced.withdraw())
    }

    fn begin(self, address: SocketAddr) -> Announced {
        let (stop, stopped) = watch::channel(false);
        let place = Place {
            base_url: self.base_url(address),
            client: plain_http(CONNECT_TIMEOUT),
            announcement: self,
        };
        Announced {
            stop,
            task: tokio::spawn(place.keep(stopped)),
        }
    }

    /// Where the service is found: what the settings say, or where it listens, or, when it listens
    /// on every address, where its neighbours find it.
    fn base_url(&self, address: SocketAddr) -> String {
        match (self.advertise_url.as_str(), address.ip().is_unspecified()) {
            ("", false) => format!("http://{address}"),
            ("", true) => self.own_url.clone(),
            (url, _) => url.to_owned(),
        }
    }
}

/// An announcement that is being kept.
struct Announced {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Announced {
    async fn withdraw(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the announcement ended by itself");
        }
    }
}

/// A place in the registry.
struct Place {
    announcement: Announcement,
    base_url: String,
    client: Client,
}

impl Place {
    /// Registers, renews, and registers again when the registry has forgotten, until told to stop.
    async fn keep(self, mut stopped: watch::Receiver<bool>) {
        let mut registered = false;
        let mut backoff = Backoff::try_new(BACKOFF, Jitter::from_entropy());
        loop {
            let outcome = match registered {
                true => self.renew().await,
                false => self.register().await.map(|()| true),
            };
            let pause = match outcome {
                Ok(true) => {
                    if !registered {
                        tracing::info!(url = self.base_url, "registered with the gateway");
                    }
                    registered = true;
                    backoff = Backoff::try_new(BACKOFF, Jitter::from_entropy());
                    self.announcement.ttl / HEARTBEATS_PER_LEASE
                }
                Ok(false) => {
                    registered = false;
                    Duration::ZERO
                }
                Err(error) => {
                    tracing::debug!(error = %common::error::ErrorChain(&error), "no heartbeat");
                    backoff.as_mut().map_or(BACKOFF.max, Backoff::next_delay)
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                _ = stopped.wait_for(|stop| *stop) => break,
            }
        }
        if registered && let Err(error) = self.remove().await {
            tracing::debug!(error = %common::error::ErrorChain(&error), "the gateway was not told");
        }
    }

    async fn register(&self) -> Result<(), AnnounceError> {
        let ttl_ms = u64::try_from(self.announcement.ttl.as_millis()).unwrap_or(u64::MAX);
        let body = json!({
            "service_name": self.announcement.name,
            "base_url": self.base_url,
            "instance_id": self.id(),
            "ttl_ms": ttl_ms,
            "metadata": {"version": env!("CARGO_PKG_VERSION")},
        });
        match self.ask(Method::POST, "", Some(body)).await? {
            status if status.is_success() => Ok(()),
            status => Err(AnnounceError::Refused(status)),
        }
    }

    /// `false` when the registry knows nothing of this instance.
    async fn renew(&self) -> Result<bool, AnnounceError> {
        let path = format!(
            "/{}/instances/{}/heartbeat",
            self.announcement.name,
            self.id()
        );
        match self.ask(Method::PUT, &path, None).await? {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            status => Err(AnnounceError::Refused(status)),
        }
    }

    async fn remove(&self) -> Result<(), AnnounceError> {
        let path = format!("/{}/instances/{}", self.announcement.name, self.id());
        self.ask(Method::DELETE, &path, None).await.map(drop)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> Result<StatusCode, AnnounceError> {
        let token = self.announcement.tokens.token().await?;
        let gateway = &self.announcement.gateway_url;
        let url = format!("{gateway}/api/discovery/services{path}");
        let request = self.client.request(method, url).bearer_auth(token);
        let request = request.timeout(ANSWER_TIMEOUT);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        Ok(request.send().await?.status())
    }

    /// The host and port: a service that is started again in its place takes its entry over.
    fn id(&self) -> String {
        let place = self.base_url.split("://").nth(1).unwrap_or_default();
        place.replace(['[', ']'], "")
    }
}
