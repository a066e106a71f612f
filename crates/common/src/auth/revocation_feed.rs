//! Keeps a process's copy of the revocations, and of the keys, as new as user-service's.
//!
//! Each process asks by itself, every two seconds: an event reaches one replica of a service, but
//! every replica has to refuse a revoked token. While user-service is away, tokens go on to be
//! verified with what is known; how old that is stands in the metric
//! `auth_revocations_age_seconds`.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use tokio::time::Instant;

use super::revocations::{MAX_TOKEN_LIFE, RevocationsPage};
use super::service_tokens::{TokenSource, TokenSourceError};
use super::verifier::{TokenVerifier, WeakTokenVerifier};
use crate::clock::Clock;
use crate::error::ErrorChain;

/// Between two questions.
const INTERVAL: Duration = Duration::from_secs(2);
/// An answer that takes longer is asked for again.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Failures in a row, before it is said once: services start in any order.
const QUIET_FAILURES: u32 = 5;

/// Why nothing was learnt.
#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error(transparent)]
    Token(#[from] TokenSourceError),
    #[error("user-service did not tell what was revoked")]
    Ask(#[from] reqwest::Error),
}

/// Asks user-service what was revoked.
pub struct RevocationFeed {
    url: String,
    client: reqwest::Client,
    tokens: Arc<dyn TokenSource>,
    clock: Clock,
    cursor: Option<String>,
}

impl RevocationFeed {
    /// Asks the user-service at `base_url` with the service's own identity.
    #[must_use]
    pub fn new(
        base_url: &str,
        client: reqwest::Client,
        tokens: Arc<dyn TokenSource>,
        clock: Clock,
    ) -> Self {
        Self {
            url: format!("{}/internal/revocations", base_url.trim_end_matches('/')),
            client,
            tokens,
            clock,
            cursor: None,
        }
    }

    /// Feeds the verifier until nobody uses it any more.
    pub async fn run(mut self, verifier: WeakTokenVerifier) {
        let (mut failures, mut learnt_at) = (0, Instant::now());
        while let Some(verifier) = verifier.upgrade() {
            let outcome = self.ask(&verifier).await;
            let label = if outcome.is_ok() {
                "succeeded"
            } else {
                "failed"
            };
            metrics::counter!("auth_revocation_polls_total", "outcome" => label).increment(1);
            match outcome {
                Ok(()) => (failures, learnt_at) = (0, Instant::now()),
                Err(error) => {
                    failures += 1;
                    if failures == QUIET_FAILURES {
                        tracing::warn!(
                            error = %ErrorChain(&error),
                            "nothing is learnt of revoked sessions; tokens are verified without"
                        );
                    }
                }
            }
            metrics::gauge!("auth_revocations_age_seconds").set(learnt_at.elapsed().as_secs_f64());
            drop(verifier);
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn ask(&mut self, verifier: &TokenVerifier) -> Result<(), FeedError> {
        let token = self.tokens.token().await?;
        let request = self.client.get(&self.url).timeout(TIMEOUT);
        let request = request.bearer_auth(token).query(&[("after", &self.cursor)]);
        let response = request.send().await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.tokens.refused().await;
        }
        let response = response.error_for_status()?;
        let page: RevocationsPage = response.json().await?;
        let oldest = self.clock.now().minus(MAX_TOKEN_LIFE);
        verifier.revocations().learn(&page.revocations, oldest);
        verifier.use_keys(&page.keys);
        self.cursor = Some(page.cursor);
        Ok(())
    }
}
