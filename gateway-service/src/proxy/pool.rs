//! The unused connections of one worker, the most recently used first: a warm one is taken, and the
//! others grow old and close.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use actix_web::rt;
use tokio::time::{Instant, timeout};

use super::attempts::Held;
use super::connection::Connection;

/// How often old connections are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Longest wait for a connection whose answer was read to be ready again.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(100);

/// How long and how many connections are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolParams {
    pub(crate) idle_timeout: Duration,
    pub(crate) max_idle: usize,
    pub(crate) max_age: Duration,
}

struct Idle {
    connection: Connection,
    since: Instant,
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

    fn put(&self, authority: &str, connection: Connection) {
        if connection.age() >= self.params.max_age || self.params.max_idle == 0 {
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
        let since = Instant::now();
        stack.push(Idle { connection, since });
    }

    fn is_usable(&self, idle: &Idle) -> bool {
        let (connection, params) = (&idle.connection, &self.params);
        connection.is_ready()
            && idle.since.elapsed() < params.idle_timeout
            && connection.age() < params.max_age
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
    /// Whether it may carry another request.
    reusable: bool,
}

impl Lease {
    pub(super) const fn new(connection: Connection, authority: Box<str>, pool: Rc<Pool>) -> Self {
        Self {
            connection,
            authority,
            pool,
            held: None,
            reusable: true,
        }
    }

    /// Closes the connection after this answer.
    pub(super) const fn do_not_reuse(&mut self) {
        self.reusable = false;
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
        if !self.reusable {
            return;
        }
        if self.connection.is_ready() {
            self.pool.put(&self.authority, self.connection);
            return;
        }
        // Its driver has the answer's end still before it.
        rt::spawn(async move {
            let ready = timeout(SETTLE_TIMEOUT, self.connection.becomes_ready()).await;
            if ready == Ok(true) {
                self.pool.put(&self.authority, self.connection);
            }
        });
    }
}
