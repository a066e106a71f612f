//! Counts of failed logins in Redis, shared by all replicas.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::time::Timestamp;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, FromRedisValue, Pipeline, RedisError};
use secrecy::{ExposeSecret, SecretString};

use super::SCOPES;
use crate::domain::progression::Failures;

/// A login waits this long for Redis at most; its password hash takes tens of milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(250);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// After a failure Redis is left alone this long, so that logins do not wait for it one by one.
const PAUSE: Duration = Duration::from_secs(1);
const PREFIX: &str = "maru:user:throttle:";

/// Why Redis did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SharedError {
    #[error("redis failed")]
    Redis(#[from] RedisError),
    #[error("redis did not answer in time")]
    Timeout(#[from] tokio::time::error::Elapsed),
}

/// Counts in Redis: a hash `n` (failures) and `at` (microseconds of the last one) per key.
pub(crate) struct SharedCounts {
    connection: ConnectionManager,
    paused_until: Mutex<Option<Instant>>,
}

impl SharedCounts {
    /// Connects when first needed, so that a start does not depend on Redis.
    pub(crate) fn new(url: &SecretString) -> Result<Self, RedisError> {
        let client = Client::open(url.expose_secret())?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT));
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client, config)?,
            paused_until: Mutex::default(),
        })
    }

    /// The counts, or `None` when Redis does not answer.
    pub(super) async fn read(&self, keys: &[String; SCOPES]) -> Option<[Option<Failures>; SCOPES]> {
        let mut pipeline = redis::pipe();
        for key in keys {
            pipeline.cmd("HMGET").arg(redis_key(key)).arg("n").arg("at");
        }
        let rows: [(Option<u32>, Option<i64>); SCOPES] = self.answer(&pipeline).await?;
        Some(rows.map(|(count, at)| {
            Some(Failures {
                count: count?,
                last: Timestamp::from_micros(at?),
            })
        }))
    }

    /// Counts one more failure under each key.
    pub(super) async fn add(
        &self,
        keys: &[String; SCOPES],
        forget_after: Duration,
        now: Timestamp,
    ) {
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        let expiry_ms = u64::try_from(forget_after.as_millis()).unwrap_or(u64::MAX);
        for key in keys {
            let key = redis_key(key);
            pipeline.cmd("HINCRBY").arg(&key).arg("n").arg(1);
            pipeline
                .cmd("HSET")
                .arg(&key)
                .arg("at")
                .arg(now.as_micros());
            pipeline.cmd("PEXPIRE").arg(&key).arg(expiry_ms);
        }
        let _uncounted: Option<redis::Value> = self.answer(&pipeline).await;
    }

    /// Forgets the failures under a key.
    pub(super) async fn forget(&self, key: &str) {
        let mut pipeline = redis::pipe();
        pipeline.cmd("DEL").arg(redis_key(key));
        let _kept: Option<redis::Value> = self.answer(&pipeline).await;
    }

    /// Asks Redis for a sign of life.
    pub(crate) async fn ping(&self) -> Result<(), SharedError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("PING");
        let _pong: redis::Value = self.ask(&pipeline).await?;
        Ok(())
    }

    async fn answer<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Option<T> {
        if self.is_paused() {
            return None;
        }
        match self.ask(pipeline).await {
            Ok(value) => Some(value),
            Err(error) => {
                let cause = common::error::ErrorChain(&error);
                tracing::warn!(error = %cause, "failed logins are counted in this process alone");
                None
            }
        }
    }

    async fn ask<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, SharedError> {
        let mut connection = self.connection.clone();
        let asking = pipeline.query_async(&mut connection);
        let outcome = tokio::time::timeout(ANSWER_TIMEOUT + CONNECT_TIMEOUT, asking)
            .await
            .map_err(SharedError::from)
            .and_then(|answer| answer.map_err(SharedError::from));
        let until = outcome.is_err().then(|| Instant::now() + PAUSE);
        *self.pause() = until;
        outcome
    }

    fn is_paused(&self) -> bool {
        self.pause().is_some_and(|until| Instant::now() < until)
    }

    fn pause(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.paused_until
            .lock()
            .expect("no code panics while holding it")
    }
}

fn redis_key(key: &str) -> String {
    format!("{PREFIX}{key}")
}
