//! How often somebody may ask: GCRA, in this process, and in Redis when replicas share the counts.
//!
//! Answers say where the caller stands in the `RateLimit` and `RateLimit-Policy` fields
//! (draft-ietf-httpapi-ratelimit-headers-10).

mod local;
mod shared;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use actix_web::HttpRequest;
use common::shutdown::Shutdown;
use routing::{RateKey, RateLimit};
use secrecy::{ExposeSecret as _, SecretString};

use self::local::LocalCounts;
use self::shared::SharedCounts;
use super::auth::{API_KEY_HEADER, Caller, sha256};

/// How often counts that say nothing any more are thrown away.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Where a caller stands after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// How long to wait, when it was one too many.
    pub(crate) wait: Option<Duration>,
    /// Requests that may come at once from now on.
    pub(crate) remaining: u32,
    /// Until all of them may.
    pub(crate) reset: Duration,
}

/// Makes limiters, and keeps them small.
pub(crate) struct Limiters {
    shared: Option<Arc<SharedCounts>>,
    made: Mutex<Vec<Weak<Limiter>>>,
}

/// One limit and its counts.
pub(crate) struct Limiter {
    limit: Arc<RateLimit>,
    local: LocalCounts,
    shared: Option<Arc<SharedCounts>>,
    /// Its item of `RateLimit-Policy`.
    policy: String,
}

/// By what a request is counted.
pub(crate) struct Counted<'c> {
    pub(crate) request: &'c HttpRequest,
    pub(crate) client: IpAddr,
    pub(crate) caller: &'c Caller,
    pub(crate) route: &'c str,
}

impl Limiters {
    /// With counts in Redis when there is a URL.
    ///
    /// # Errors
    /// When the URL is none.
    pub(crate) fn new(redis_url: &SecretString) -> Result<Self, redis::RedisError> {
        let shared = match redis_url.expose_secret().is_empty() {
            true => None,
            false => Some(Arc::new(SharedCounts::new(redis_url)?)),
        };
        Ok(Self {
            shared,
            made: Mutex::default(),
        })
    }

    /// A limiter without counts.
    pub(crate) fn limiter(&self, limit: &Arc<RateLimit>) -> Arc<Limiter> {
        let limiter = Arc::new(Limiter {
            local: LocalCounts::new(limit),
            shared: self.shared.clone(),
            policy: format!(
                "\"{}\";q={};w={}",
                limit.name,
                limit.requests,
                limit.window.as_secs()
            ),
            limit: Arc::clone(limit),
        });
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.push(Arc::downgrade(&limiter));
        limiter
    }

    fn tidy(&self) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|limiter| match limiter.upgrade() {
            Some(limiter) => {
                limiter.local.tidy();
                true
            }
            None => false,
        });
    }
}

/// Throws away counts that say nothing any more, until `shutdown`.
pub(crate) async fn keep_small(owner: Arc<impl AsRef<Limiters>>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(UPKEEP_INTERVAL) => (*owner).as_ref().tidy(),
            () = shutdown.triggered() => return,
        }
    }
}

impl Limiter {
    pub(crate) fn limit(&self) -> &RateLimit {
        &self.limit
    }

    /// Whether the caller must be known before the request can be counted.
    pub(crate) fn counts_callers(&self) -> bool {
        matches!(self.limit.by, RateKey::Subject | RateKey::ApiKey)
    }

    /// Counts a request.
    pub(crate) async fn count(&self, counted: &Counted<'_>) -> Standing {
        let key = key_of(self.limit.by, counted);
        if let Some(shared) = &self.shared
            && let Some(standing) = shared.count(&self.limit, &key).await
        {
            return standing;
        }
        self.local.count(&key)
    }

    /// Adds where a caller stands to the values of `RateLimit` and `RateLimit-Policy`.
    pub(crate) fn describe(&self, standing: Standing, told: &mut Told) {
        let separator = if told.policy.is_empty() { "" } else { ", " };
        let seconds = standing.reset.as_millis().div_ceil(1_000);
        let _infallible = write!(told.policy, "{separator}{}", self.policy);
        let _infallible = write!(
            told.state,
            "{separator}\"{}\";r={};t={seconds}",
            self.limit.name, standing.remaining
        );
    }
}

/// What an answer says about limits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// `RateLimit-Policy`.
    pub(crate) policy: String,
    /// `RateLimit`.
    pub(crate) state: String,
}

/// The name of a count. It holds neither a key nor an account's id in the clear: names of Redis
/// keys are shown in its tools.
fn key_of(by: RateKey, counted: &Counted<'_>) -> String {
    let address = || format!("a:{}", network_of(counted.client));
    match by {
        RateKey::Address => address(),
        RateKey::Route => format!("r:{}", counted.route),
        RateKey::Subject => match counted.caller {
            Caller::Account(account) => format!("s:{}", short_digest(account.subject.as_bytes())),
            Caller::Consumer(consumer) => format!("c:{}", short_digest(consumer.as_bytes())),
            Caller::Unknown => address(),
        },
        // A key that nobody has verified is whatever the client makes up.
        RateKey::ApiKey => match (
            counted.caller,
            counted.request.headers().get(API_KEY_HEADER),
        ) {
            (Caller::Consumer(_), Some(key)) => format!("k:{}", short_digest(key.as_bytes())),
            _ => address(),
        },
    }
}

/// One client has a whole network of 64 bits (RFC 6177): its addresses count together.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

fn short_digest(bytes: &[u8]) -> String {
    let digest = sha256(bytes);
    let mut text = String::with_capacity(32);
    for byte in digest.iter().take(16) {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_one_client_count_together() {
        for (address, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ] {
            let network = network_of(address.parse().unwrap());
            assert_eq!(network.to_string(), expected, "{address}");
        }
    }
}
