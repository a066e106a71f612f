//! When a connection rests: its client has been silent between two requests for a while.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// How often it is looked whether something has come since the last look. A connection rests after one
/// to two of these.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Whether a connection rests; who gave the connection away holds it too.
pub(crate) type Rests = Rc<Cell<bool>>;

/// Watches one connection. Requests cost it no timer each: there is one, and what comes is only noted.
#[derive(Debug)]
pub(super) struct Watch {
    rests: Rests,
    look: Pin<Box<Sleep>>,
    /// Whether something has come since the last look.
    stirred: bool,
}

impl Watch {
    pub(super) fn new(rests: Rests) -> Self {
        Self {
            rests,
            look: Box::pin(sleep(LOOK_INTERVAL)),
            stirred: true,
        }
    }

    pub(super) fn rests(&self) -> bool {
        self.rests.get()
    }

    /// Something has come.
    pub(super) const fn stir(&mut self) {
        self.stirred = true;
    }

    /// To be asked while nothing is under way; ready when the connection rests from now on.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.look.as_mut().poll(cx));
            if !std::mem::take(&mut self.stirred) {
                self.rests.set(true);
                return Poll::Ready(());
            }
            self.look.as_mut().reset(Instant::now() + LOOK_INTERVAL);
        }
    }
}
