//! Redis for what replicas share and each can do without: connected to when first needed, so that a
//! start does not depend on it, and left alone for a while after a failure, so that requests do not
//! wait for it one by one.

use std::fmt;
use std::future::Future;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};

/// How long Redis is left alone after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Why Redis gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum RedisSilence {
    /// It cannot be reached, or refuses what it was asked.
    #[error("redis failed")]
    Failed(#[from] RedisError),
    /// It took too long.
    #[error("redis did not answer in time")]
    Late(#[from] Elapsed),
}

/// How long one question waits for Redis.
#[derive(Clone, Copy, Debug)]
pub struct RedisPatience {
    /// For a connection, where there is none.
    pub connect: Duration,
    /// For the answer.
    pub answer: Duration,
}

/// A connection that is made when first needed, and again after it was lost.
pub struct LazyRedis {
    connection: ConnectionManager,
    patience: RedisPatience,
    paused_until: Mutex<Option<Instant>>,
}

impl LazyRedis {
    /// A connection to `url`, which is not yet made.
    ///
    /// # Errors
    /// When `url` is no address of a Redis.
    pub fn new(url: &SecretString, patience: RedisPatience) -> Result<Self, RedisError> {
        let client = Client::open(url.expose_secret())?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(patience.connect))
            .set_response_timeout(Some(patience.answer));
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client, config)?,
            patience,
            paused_until: Mutex::default(),
        })
    }

    /// Asks Redis; `None`, without asking, in the second after a failure.
    pub async fn ask_unless_paused<T, F>(
        &self,
        question: impl FnOnce(ConnectionManager) -> F,
    ) -> Option<Result<T, RedisSilence>>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        if self.pause().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        Some(self.ask(question).await)
    }

    /// Asks Redis.
    ///
    /// # Errors
    /// When no answer comes in time, or none that can be used.
    pub async fn ask<T, F>(
        &self,
        question: impl FnOnce(ConnectionManager) -> F,
    ) -> Result<T, RedisSilence>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let asking = question(self.connection.clone());
        let answer = timeout(self.patience.connect + self.patience.answer, asking).await;
        let answer = match answer {
            Ok(answer) => answer.map_err(RedisSilence::from),
            Err(elapsed) => Err(elapsed.into()),
        };
        *self.pause() = answer.is_err().then(|| Instant::now() + PAUSE);
        answer
    }

    fn pause(&self) -> MutexGuard<'_, Option<Instant>> {
        self.paused_until
            .lock()
            .expect("no code panics while holding it")
    }
}

impl fmt::Debug for LazyRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyRedis")
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody listens there, and nobody ever will: the port is no port.
    fn nowhere() -> LazyRedis {
        let patience = RedisPatience {
            connect: Duration::from_millis(500),
            answer: Duration::from_millis(250),
        };
        LazyRedis::new(&"redis://127.0.0.1:0".into(), patience).unwrap()
    }

    async fn fail(_connection: ConnectionManager) -> Result<(), RedisError> {
        Err(RedisError::from(std::io::Error::other("on purpose")))
    }

    async fn answer(_connection: ConnectionManager) -> Result<u8, RedisError> {
        Ok(1)
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_it_is_left_alone_for_a_while() {
        let redis = nowhere();
        let failed = redis.ask_unless_paused(fail).await;
        assert!(matches!(failed, Some(Err(RedisSilence::Failed(_)))));
        assert!(redis.ask_unless_paused(answer).await.is_none());
        tokio::time::advance(PAUSE).await;
        let answered = redis.ask_unless_paused(answer).await;
        assert_eq!(answered.unwrap().unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_the_pause() {
        let redis = nowhere();
        assert!(redis.ask(fail).await.is_err());
        assert_eq!(redis.ask(answer).await.unwrap(), 1);
        assert!(redis.ask_unless_paused(answer).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_never_comes_is_given_up() {
        let redis = nowhere();
        let started = Instant::now();
        let late = redis.ask(|_connection| std::future::pending::<Result<(), _>>());
        assert!(matches!(late.await, Err(RedisSilence::Late(_))));
        assert_eq!(started.elapsed(), Duration::from_millis(750));
        assert!(redis.ask_unless_paused(answer).await.is_none());
    }
}
