//! Counts in Redis, shared by all replicas. While Redis is away each replica counts alone.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError, Script};
use routing::RateLimit;
use secrecy::{ExposeSecret as _, SecretString};

use super::Standing;
use super::local::interval;

/// A request waits this long for Redis at most.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(50);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
/// After a failure Redis is left alone this long, so that requests do not wait for it one by one.
const PAUSE: Duration = Duration::from_secs(1);
const PREFIX: &str = "maru:gateway:limit:";

/// GCRA by the clock of Redis, which all replicas have in common: the theoretical arrival time of
/// the next request, in microseconds, expires when it says nothing any more.
const SCRIPT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + interval
local early = arrival - now - tolerance
if early > 0 then return {math.ceil(early), math.ceil(arrival - interval - now)} end
redis.call('SET', KEYS[1], string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000))
return {0, math.ceil(arrival - now)}
";

pub(super) struct SharedCounts {
    connection: ConnectionManager,
    script: Script,
    paused_until: Mutex<Option<Instant>>,
}

#[derive(Debug, thiserror::Error)]
enum SharedError {
    #[error("redis failed")]
    Redis(#[from] RedisError),
    #[error("redis did not answer in time")]
    Timeout(#[from] tokio::time::error::Elapsed),
}

impl SharedCounts {
    /// Connects when first needed, so that a start does not depend on Redis.
    pub(super) fn new(url: &SecretString) -> Result<Self, RedisError> {
        let client = Client::open(url.expose_secret())?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT));
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client, config)?,
            script: Script::new(SCRIPT),
            paused_until: Mutex::default(),
        })
    }

    /// Counts a request; `None` when Redis does not answer.
    pub(super) async fn count(&self, limit: &RateLimit, key: &str) -> Option<Standing> {
        if self.pause().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let interval = interval(limit);
        let interval_us = micros(interval).max(1);
        let tolerance_us = interval_us.saturating_mul(u64::from(limit.burst));
        let mut call = self.script.key(format!("{PREFIX}{}:{key}", limit.name));
        call.arg(interval_us).arg(tolerance_us);
        let mut connection = self.connection.clone();
        let asking = call.invoke_async::<(u64, u64)>(&mut connection);
        let answer = tokio::time::timeout(ANSWER_TIMEOUT + CONNECT_TIMEOUT, asking).await;
        let answer = answer
            .map_err(SharedError::from)
            .and_then(|answer| answer.map_err(SharedError::from));
        match answer {
            Ok((wait_us, reset_us)) => {
                let left = tolerance_us.saturating_sub(reset_us) / interval_us;
                Some(Standing {
                    wait: (wait_us > 0).then(|| Duration::from_micros(wait_us)),
                    remaining: u32::try_from(left).unwrap_or(u32::MAX),
                    reset: Duration::from_micros(reset_us),
                })
            }
            Err(error) => {
                *self.pause() = Some(Instant::now() + PAUSE);
                let cause = common::error::ErrorChain(&error);
                tracing::warn!(error = %cause, "requests are counted in this process alone");
                None
            }
        }
    }

    fn pause(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.paused_until
            .lock()
            .expect("no code panics while holding it")
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
