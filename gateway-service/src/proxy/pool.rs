//! The unused connections of one worker, the most recently used first: a warm one is taken, and the
//! others grow old and close.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use actix_web::rt;
use http::HeaderMap;
use tokio::time::{Instant, timeout};

use super::attempts::Held;
use super::connection::Connection;

/// How often old connections are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Longest wait for a connection whose answer was read to be ready again.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(100);

/// How much earlier than a service lets go of a connection it is not used any more: what is on its way
/// when the service closes is lost (RFC 9112, section 9.3.1).
const KEEP_ALIVE_MARGIN: Duration = Duration::from_millis(500);

/// How long and how many connections are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolParams {
    pub(crate) idle_timeout: Duration,
    pub(crate) max_idle: usize,
    pub(crate) max_age: Duration,
}

struct Idle {
    connection: Connection,
    until: Instant,
}

/// Unused connections by the authority they lead to.
pub(crate) struct Pool {
    params: PoolParams,
    idle: RefCell<HashMap<Box<str>, Vec<Idle>>>,
}

impl Pool {
    /// An empty pool that sweeps itself as long as somebody holds it. Must be made on a worker.
    pub(crate) fn start(params: PoolParams) -> Rc<Self> {
        let pool = Rc::new(Self {
            params,
            idle: RefCell::default(),
        });
        let weak = Rc::downgrade(&pool);
        rt::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP_INTERVAL).await;
                match weak.upgrade() {
                    Some(pool) => pool.sweep(),
                    None => return,
                }
            }
        });
        pool
    }

    /// Takes the most recently used connection that still works.
    pub(crate) fn take(&self, authority: &str) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let stack = idle.get_mut(authority)?;
        while let Some(candidate) = stack.pop() {
            if self.is_usable(&candidate) {
                return Some(candidate.connection);
            }
        }
        None
    }

    fn put(&self, authority: &str, connection: Connection, idle_limit: Duration) {
        let is_spent = connection.age() >= self.params.max_age || idle_limit.is_zero();
        if is_spent || self.params.max_idle == 0 {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if !idle.contains_key(authority) {
            idle.insert(authority.into(), Vec::new());
        }
        let Some(stack) = idle.get_mut(authority) else {
            return;
        };
        if stack.len() >= self.params.max_idle {
            stack.remove(0);
        }
        let until = Instant::now() + idle_limit.min(self.params.idle_timeout);
        stack.push(Idle { connection, until });
    }

    fn is_usable(&self, idle: &Idle) -> bool {
        let connection = &idle.connection;
        connection.is_ready()
            && Instant::now() < idle.until
            && connection.age() < self.params.max_age
    }

    fn sweep(&self) {
        let mut idle = self.idle.borrow_mut();
        for stack in idle.values_mut() {
            stack.retain(|candidate| self.is_usable(candidate));
        }
        idle.retain(|_, stack| !stack.is_empty());
    }
}

/// A connection whose answer is being read. Dropping it closes the connection.
pub(crate) struct Lease {
    connection: Connection,
    authority: Box<str>,
    pool: Rc<Pool>,
    held: Option<Held>,
    /// How long it may wait for another request; zero: it carries no other.
    idle_limit: Duration,
}

impl Lease {
    pub(super) const fn new(connection: Connection, authority: Box<str>, pool: Rc<Pool>) -> Self {
        Self {
            connection,
            authority,
            pool,
            held: None,
            idle_limit: Duration::MAX,
        }
    }

    /// Goes by what the answer says of the connection.
    pub(super) fn heed(mut self, headers: &HeaderMap) -> Self {
        if let Some(limit) = idle_limit_of(headers) {
            self.idle_limit = limit;
        }
        self
    }

    /// Closes the connection after this answer.
    pub(super) const fn do_not_reuse(&mut self) {
        self.idle_limit = Duration::ZERO;
    }

    /// Keeps what the request holds at the service until this lease ends.
    pub(super) fn hold(&mut self, held: Held) {
        self.held = Some(held);
    }

    /// The service broke off inside the answer.
    pub(super) fn broke_off(mut self) {
        if let Some(held) = self.held.take() {
            held.broke_off();
        }
    }

    /// Gives the connection back after an answer that was read to its end.
    pub(crate) fn give_back(mut self) {
        self.held = None;
        if self.idle_limit.is_zero() {
            return;
        }
        if self.connection.is_ready() {
            let pool = self.pool;
            pool.put(&self.authority, self.connection, self.idle_limit);
            return;
        }
        // Its driver has the answer's end still before it.
        rt::spawn(async move {
            let ready = timeout(SETTLE_TIMEOUT, self.connection.becomes_ready()).await;
            if ready == Ok(true) {
                let pool = self.pool;
                pool.put(&self.authority, self.connection, self.idle_limit);
            }
        });
    }
}

/// How long a service keeps the connection of this answer, by its `Keep-Alive: timeout=5, max=100`
/// (seconds; RFC 2068, section 19.7.1), less a margin; `None` when it does not say.
fn idle_limit_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("keep-alive")?.to_str().ok()?;
    let mut parameters = text.split([',', ';']).filter_map(|one| one.split_once('='));
    let timeout = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"));
    let seconds = timeout?.1.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).saturating_sub(KEEP_ALIVE_MARGIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_says_how_long_it_keeps_a_connection() {
        for (value, millis) in [
            ("timeout=5", Some(4_500)),
            ("timeout=2, max=100", Some(1_500)),
            ("max=100, Timeout = 1", Some(500)),
            ("timeout=0", Some(0)),
            ("timeout=-1", None),
            ("timeout", None),
            ("max=100", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("keep-alive", value.parse().unwrap());
            let expected = millis.map(Duration::from_millis);
            assert_eq!(idle_limit_of(&headers), expected, "{value}");
        }
        assert_eq!(idle_limit_of(&HeaderMap::new()), None);
    }
}
