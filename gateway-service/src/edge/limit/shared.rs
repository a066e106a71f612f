//! Counts in Redis, shared by all replicas. While Redis is away each replica counts alone.

use std::time::Duration;

use redis::{RedisError, Script};
use resilience::{LazyRedis, RedisPatience};
use routing::RateLimit;
use secrecy::SecretString;

use super::Standing;
use super::local::interval;

/// A request waits this long for Redis at most.
const PATIENCE: RedisPatience = RedisPatience {
    connect: Duration::from_millis(250),
    answer: Duration::from_millis(50),
};
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
    redis: LazyRedis,
    script: Script,
}

impl SharedCounts {
    /// Connects when first needed, so that a start does not depend on Redis.
    pub(super) fn new(url: &SecretString) -> Result<Self, RedisError> {
        Ok(Self {
            redis: LazyRedis::new(url, PATIENCE)?,
            script: Script::new(SCRIPT),
        })
    }

    /// Counts a request; `None` when Redis does not answer.
    pub(super) async fn count(&self, limit: &RateLimit, key: &str) -> Option<Standing> {
        let interval = interval(limit);
        let interval_us = micros(interval).max(1);
        let tolerance_us = interval_us.saturating_mul(u64::from(limit.burst));
        let mut call = self.script.key(format!("{PREFIX}{}:{key}", limit.name));
        call.arg(interval_us).arg(tolerance_us);
        let answer = self.redis.ask_unless_paused(async |mut connection| {
            call.invoke_async::<(u64, u64)>(&mut connection).await
        });
        match answer.await? {
            Ok((wait_us, reset_us)) => {
                let left = tolerance_us.saturating_sub(reset_us) / interval_us;
                Some(Standing {
                    wait: (wait_us > 0).then(|| Duration::from_micros(wait_us)),
                    remaining: u32::try_from(left).unwrap_or(u32::MAX),
                    reset: Duration::from_micros(reset_us),
                })
            }
            Err(error) => {
                let cause = common::error::ErrorChain(&error);
                tracing::warn!(error = %cause, "requests are counted in this process alone");
                None
            }
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
