//! How the gateway treats a service: how its instances share the requests, when it is left alone,
//! and what is answered in its place. `config/policies.toml` documents the file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use resilience::{BreakerParams, BulkheadParams, InvalidParams, RetryBudgetParams};
use serde::Deserialize;

use crate::balance::{Balance, EwmaParams, OutlierParams};
use crate::settings::{ResilienceSettings, millis};

/// The policies that hold when no file is given.
const DEFAULT_POLICIES: &str = include_str!("../../config/policies.toml");

/// How the gateway treats one service.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) balance: Balance,
    /// The request header whose value is the key of a consistent hash; without it the client's
    /// address is.
    pub(crate) hash_header: Option<HeaderName>,
    pub(crate) ewma: EwmaParams,
    pub(crate) outlier: OutlierParams,
    /// How long a new instance is given less than its share.
    pub(crate) slow_start: Duration,
    /// When fewer than this many of a hundred instances work, all are tried; 0 turns it off.
    pub(crate) panic_percent: u32,
    /// Tries of one request, the first included.
    pub(crate) max_attempts: u32,
    pub(crate) budget: RetryBudgetParams,
    pub(crate) breaker: BreakerParams,
    pub(crate) bulkhead: BulkheadParams,
    pub(crate) fallback: Option<Fallback>,
}

/// What is answered in place of a service that cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// Always the same.
    Static {
        status: StatusCode,
        media_type: HeaderValue,
        body: Bytes,
    },
    /// The last good answer to the same GET, if it is not older than this.
    Cached { max_age: Duration },
    /// What this other service answers.
    Service(String),
}

/// A file of policies that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error("{file} cannot be read")]
    Unreadable {
        file: String,
        source: std::io::Error,
    },
    #[error("{file} is not a file of policies")]
    Malformed {
        file: String,
        source: Box<toml::de::Error>,
    },
    #[error("policy of {service}: {fault}")]
    Policy { service: String, fault: String },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PoliciesFile {
    #[serde(default)]
    services: BTreeMap<String, PolicyIn>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyIn {
    balance: Option<Balance>,
    hash_header: Option<String>,
    slow_start_ms: Option<u64>,
    panic_percent: Option<u32>,
    max_attempts: Option<u32>,
    max_concurrent: Option<usize>,
    breaker_min_calls: Option<u32>,
    breaker_open_ms: Option<u64>,
    fallback: Option<FallbackIn>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FallbackIn {
    status: Option<u16>,
    content_type: Option<String>,
    body: Option<String>,
    cached_seconds: Option<u64>,
    service: Option<String>,
}

/// The policies of all services.
#[derive(Clone, Debug)]
pub(crate) struct Policies {
    default: Policy,
    of: BTreeMap<String, Policy>,
}

impl Policies {
    /// Reads the file of the settings, or the compiled-in one.
    pub(crate) fn load(settings: &ResilienceSettings) -> Result<Self, PolicyError> {
        let name = settings.policies_file.display().to_string();
        let text = match name.as_str() {
            "" => DEFAULT_POLICIES.to_owned(),
            _ => read(&settings.policies_file, &name)?,
        };
        let file: PoliciesFile = toml::from_str(&text).map_err(|error| PolicyError::Malformed {
            file: name,
            source: Box::new(error),
        })?;
        let fault = |service: &str, fault: String| PolicyError::Policy {
            service: service.to_owned(),
            fault,
        };
        let default = default_policy(settings)
            .ok_or_else(|| fault("every service", "resilience.balance is unknown".to_owned()))?;
        check(&default).map_err(|invalid| fault("every service", invalid.to_string()))?;
        let mut of = BTreeMap::new();
        for (service, input) in file.services {
            let policy = input
                .over(&default)
                .map_err(|text| fault(&service, text.to_owned()))?;
            check(&policy).map_err(|invalid| fault(&service, invalid.to_string()))?;
            of.insert(service, policy);
        }
        Ok(Self { default, of })
    }

    /// The policy of a service.
    pub(crate) fn of(&self, service: &str) -> &Policy {
        self.of.get(service).unwrap_or(&self.default)
    }
}

fn read(file: &Path, name: &str) -> Result<String, PolicyError> {
    std::fs::read_to_string(file).map_err(|source| PolicyError::Unreadable {
        file: name.to_owned(),
        source,
    })
}

/// What the state machines themselves refuse.
fn check(policy: &Policy) -> Result<(), InvalidParams> {
    let invalid = |parameter, fault| Err(InvalidParams { parameter, fault });
    crate::balance::PeakEwma::try_new(policy.ewma)?;
    policy.outlier.validate()?;
    resilience::Breaker::try_new("policy", policy.breaker)?;
    resilience::Bulkhead::try_new(policy.bulkhead)?;
    resilience::RetryBudget::try_new(policy.budget)?;
    if policy.panic_percent > 100 {
        return invalid("resilience.panic_percent", "must not be above 100");
    }
    if !(1..=10).contains(&policy.max_attempts) {
        return invalid("resilience.max_attempts", "must be from 1 to 10");
    }
    Ok(())
}

fn default_policy(settings: &ResilienceSettings) -> Option<Policy> {
    Some(Policy {
        balance: Balance::parse(&settings.balance)?,
        hash_header: None,
        ewma: EwmaParams {
            decay: millis(settings.ewma_decay_ms),
            initial: millis(settings.ewma_initial_ms),
            penalty: millis(settings.failure_penalty_ms),
        },
        outlier: OutlierParams {
            consecutive_failures: settings.consecutive_failures,
            base_ejection: millis(settings.base_ejection_ms),
            max_ejection: millis(settings.max_ejection_ms),
            max_ejected_percent: settings.max_ejected_percent,
        },
        slow_start: millis(settings.slow_start_ms),
        panic_percent: settings.panic_percent,
        max_attempts: settings.max_attempts,
        budget: RetryBudgetParams {
            percent: settings.retry_percent,
            min_per_second: settings.retry_min_per_second,
            ..RetryBudgetParams::default()
        },
        breaker: BreakerParams {
            window: millis(settings.breaker_window_ms),
            min_calls: settings.breaker_min_calls,
            failure_percent: settings.breaker_failure_percent,
            open_for: millis(settings.breaker_open_ms),
            half_open_probes: settings.breaker_probes,
        },
        bulkhead: BulkheadParams {
            max_concurrent: settings.max_concurrent,
            max_waiting: settings.max_waiting,
            max_wait: millis(settings.max_wait_ms),
        },
        fallback: None,
    })
}

impl PolicyIn {
    fn over(self, default: &Policy) -> Result<Policy, &'static str> {
        let mut policy = default.clone();
        policy.balance = self.balance.unwrap_or(policy.balance);
        if let Some(name) = self.hash_header {
            let name = name
                .parse()
                .map_err(|_invalid| "hash_header is not a header's name")?;
            policy.hash_header = Some(name);
        }
        policy.slow_start = self.slow_start_ms.map_or(policy.slow_start, millis);
        policy.panic_percent = self.panic_percent.unwrap_or(policy.panic_percent);
        policy.max_attempts = self.max_attempts.unwrap_or(policy.max_attempts);
        policy.bulkhead.max_concurrent = self
            .max_concurrent
            .unwrap_or(policy.bulkhead.max_concurrent);
        policy.breaker.min_calls = self.breaker_min_calls.unwrap_or(policy.breaker.min_calls);
        policy.breaker.open_for = self.breaker_open_ms.map_or(policy.breaker.open_for, millis);
        policy.fallback = self.fallback.map(FallbackIn::read).transpose()?;
        Ok(policy)
    }
}

impl FallbackIn {
    fn read(self) -> Result<Fallback, &'static str> {
        match self {
            Self {
                body: Some(body),
                status,
                content_type,
                cached_seconds: None,
                service: None,
            } => {
                let status = StatusCode::from_u16(status.unwrap_or(200));
                let media_type = content_type.unwrap_or_else(|| "application/json".to_owned());
                Ok(Fallback::Static {
                    status: status
                        .ok()
                        .filter(|status| status.as_u16() >= 200)
                        .ok_or("status is no final HTTP status")?,
                    media_type: HeaderValue::from_str(&media_type)
                        .map_err(|_invalid| "content_type is not a header's value")?,
                    body: body.into(),
                })
            }
            Self {
                cached_seconds: Some(seconds @ 1..),
                status: None,
                content_type: None,
                body: None,
                service: None,
            } => Ok(Fallback::Cached {
                max_age: Duration::from_secs(seconds),
            }),
            Self {
                service: Some(service),
                status: None,
                content_type: None,
                body: None,
                cached_seconds: None,
            } => Ok(Fallback::Service(service)),
            _ => Err("a fallback is a body, cached_seconds or a service"),
        }
    }
}
