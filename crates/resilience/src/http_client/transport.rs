//! Connections. Nearly every neighbour is `http://` inside one network, so trust anchors, which
//! cost a megabyte or more, are loaded with the first `https://` call and not before.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, redirect};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;

/// Idle connections are closed after this long, sooner than servers usually do it.
const POOL_IDLE: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub(super) struct Transport {
    connect_timeout: Duration,
    plain: Client,
    secure: Arc<OnceCell<Client>>,
}

impl Transport {
    pub(super) fn new(connect_timeout: Duration) -> Self {
        Self {
            connect_timeout,
            plain: plain_http(connect_timeout),
            secure: Arc::default(),
        }
    }

    pub(super) async fn client_for(&self, url: &str) -> Result<&Client, reqwest::Error> {
        if url.starts_with("http://") {
            return Ok(&self.plain);
        }
        let secure = || async { secure_http(self.connect_timeout) };
        self.secure.get_or_try_init(secure).await
    }
}

fn builder(connect_timeout: Duration) -> ClientBuilder {
    Client::builder()
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(POOL_IDLE)
        // A neighbour that sends us elsewhere is misconfigured; following would take the token along.
        .redirect(redirect::Policy::none())
        .tcp_nodelay(true)
}

/// A client for `http://` addresses only: it trusts no certificate, ignores proxies and follows no
/// redirect. It has no total timeout; each request must set one.
///
/// # Panics
/// Never: nothing that can fail is configured.
#[must_use]
pub fn plain_http(connect_timeout: Duration) -> Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let no_trust = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    builder(connect_timeout)
        .tls_backend_preconfigured(no_trust)
        .no_proxy()
        .build()
        .expect("the given configuration is complete")
}

fn secure_http(connect_timeout: Duration) -> Result<Client, reqwest::Error> {
    // reqwest takes the process's default provider. The second installation fails and finds the
    // same provider in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder(connect_timeout).https_only(true).build()
}
