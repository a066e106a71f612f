//! Counts of failed logins in Redis, shared by all replicas.

use std::time::Duration;

use common::time::Timestamp;
use redis::{FromRedisValue, Pipeline, RedisError};
use resilience::{LazyRedis, RedisPatience, RedisSilence};
use secrecy::SecretString;

use super::SCOPES;
use crate::domain::progression::Failures;

/// A login waits this long for Redis at most; its password hash takes tens of milliseconds.
const PATIENCE: RedisPatience = RedisPatience {
    connect: Duration::from_millis(500),
    answer: Duration::from_millis(250),
};
const PREFIX: &str = "maru:user:throttle:";

/// Counts in Redis: a hash `n` (failures) and `at` (microseconds of the last one) per key.
pub(crate) struct SharedCounts(LazyRedis);

impl SharedCounts {
    /// Connects when first needed, so that a start does not depend on Redis.
    pub(crate) fn new(url: &SecretString) -> Result<Self, RedisError> {
        LazyRedis::new(url, PATIENCE).map(Self)
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

    /// Counts one more failure under each key; whether Redis took it.
    pub(super) async fn add(
        &self,
        keys: &[String; SCOPES],
        forget_after: Duration,
        now: Timestamp,
    ) -> bool {
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
        self.answer::<redis::Value>(&pipeline).await.is_some()
    }

    /// Forgets the failures under a key.
    pub(super) async fn forget(&self, key: &str) {
        let mut pipeline = redis::pipe();
        pipeline.cmd("DEL").arg(redis_key(key));
        let _kept: Option<redis::Value> = self.answer(&pipeline).await;
    }

    /// Asks Redis for a sign of life.
    pub(crate) async fn ping(&self) -> Result<(), RedisSilence> {
        let mut ping = redis::pipe();
        ping.cmd("PING");
        let question = async |mut connection| ping.query_async(&mut connection).await;
        let _pong: redis::Value = self.0.ask(question).await?;
        Ok(())
    }

    async fn answer<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Option<T> {
        let question = async |mut connection| pipeline.query_async(&mut connection).await;
        match self.0.ask_unless_paused(question).await? {
            Ok(value) => Some(value),
            Err(error) => {
                let cause = common::error::ErrorChain(&error);
                tracing::warn!(error = %cause, "failed logins are counted in this process alone");
                None
            }
        }
    }
}

fn redis_key(key: &str) -> String {
    format!("{PREFIX}{key}")
}
