//! The saga that places an order: a table of actions and undos, and the rules between them.
//!
//! ```text
//!              ┌ run 1 ─────────────────┐   ┌ run 2 ──────────────┐
//!   action     RESERVE ───▶ AUTHORIZE ───▶ COMMIT ───▶ CAPTURE ───▶ CONFIRMED
//!   undo       release      void           restock     void, which refunds
//!                 │            │              │           │
//!                 └────────────┴──────┬───────┴───────────┘
//!                                     ▼
//!                     what may have happened is undone ───▶ CANCELLED
//! ```
//!
//! The intent of a step is on disk before its command is sent. Intents are written for a whole run:
//! both commands of a run are idempotent, and what is known after a crash in its middle is the same
//! as after a crash before its end, namely that either may have been sent. Turning back writes the
//! intent of every undo at once. So an order costs three writes when all goes well, and two when it
//! is out of stock. The price is that whoever resumes a run must not trust that its later command
//! was never sent: it asks before every step, and undoes the whole run when it turns back.
//!
//! A free order takes no step with the payment service.

use std::time::Duration;

use common::ids::IntentId;
use common::time::Timestamp;

mod steps;

pub(crate) use steps::{Action, CancelReason, Undo, Verdict};

/// An undo that is still to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UndoTask {
    pub(crate) undo: Undo,
    /// Failed attempts so far.
    pub(crate) failed: u32,
}

/// Where a saga stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// On its way; `failed` counts the attempts at this action without a clear outcome.
    Forward { action: Action, failed: u32 },
    /// Turned back; never empty, the first task is next.
    Backward(Vec<UndoTask>),
    /// All steps are done.
    Confirmed,
    /// Nothing is left of it.
    Cancelled,
}

/// The saga of one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saga {
    pub(crate) position: Position,
    /// Set once it has turned back.
    pub(crate) reason: Option<CancelReason>,
    /// The payment, once it is known.
    pub(crate) intent_id: Option<IntentId>,
    /// After this, a step without a clear outcome is given up.
    pub(crate) deadline: Timestamp,
    pub(crate) free: bool,
    /// Whether another driver, or this one before a crash, may have sent any command of the present
    /// run.
    pub(crate) resumed: bool,
}

/// What to do after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The next step, whose intent is already written.
    Go,
    /// The next step, once its intent is written.
    WriteAndGo,
    /// The same or another step later: this many attempts at it have failed.
    Wait { failed: u32 },
    /// Nothing: confirmed or cancelled.
    End,
}

impl Saga {
    /// The saga of a new order.
    pub(crate) fn new(placed_at: Timestamp, forward_deadline: Duration, free: bool) -> Self {
        Self {
            position: Position::Forward {
                action: Action::Reserve,
                failed: 0,
            },
            reason: None,
            intent_id: None,
            deadline: placed_at.plus(forward_deadline),
            free,
            resumed: false,
        }
    }

    /// Takes in what the present step came to.
    pub(crate) fn settle(&mut self, verdict: Verdict, now: Timestamp) -> Next {
        match std::mem::replace(&mut self.position, Position::Cancelled) {
            Position::Forward { action, failed } => {
                self.settle_action(action, failed, verdict, now)
            }
            Position::Backward(tasks) => self.settle_undo(tasks, verdict),
            ended => {
                self.position = ended;
                Next::End
            }
        }
    }

    fn settle_action(
        &mut self,
        action: Action,
        failed: u32,
        verdict: Verdict,
        now: Timestamp,
    ) -> Next {
        match verdict {
            Verdict::Done => match action.next(self.free) {
                Some(next) => {
                    self.position = forward(next, 0);
                    if next.run() == action.run() {
                        Next::Go
                    } else {
                        // Nobody can have sent a command whose intent was never written.
                        self.resumed = false;
                        Next::WriteAndGo
                    }
                }
                None => {
                    self.position = Position::Confirmed;
                    Next::End
                }
            },
            Verdict::Refused(reason) if self.resumed => {
                self.turn_back(reason, action.undo_of_run())
            }
            Verdict::Refused(reason) => self.turn_back(reason, action.undo_of_earlier()),
            Verdict::Unclear if now < self.deadline => {
                self.position = forward(action, failed.saturating_add(1));
                Next::Wait {
                    failed: failed.saturating_add(1),
                }
            }
            Verdict::Rejected | Verdict::Unclear | Verdict::AlreadyCommitted => {
                let undo = if self.resumed {
                    action.undo_of_run()
                } else {
                    action.undo_of_all()
                };
                self.turn_back(action.unavailable(), undo)
            }
        }
    }

    fn turn_back(&mut self, reason: CancelReason, undo: &[Undo]) -> Next {
        self.reason = Some(reason);
        let needed = undo
            .iter()
            .filter(|undo| !(self.free && **undo == Undo::Void));
        let tasks: Vec<UndoTask> = needed
            .map(|undo| UndoTask {
                undo: *undo,
                failed: 0,
            })
            .collect();
        self.go_backward(tasks, Next::WriteAndGo)
    }

    /// An undo that cannot be done now lets the others go first, so that a payment service that is
    /// down does not keep the stock from other guests.
    fn settle_undo(&mut self, mut tasks: Vec<UndoTask>, verdict: Verdict) -> Next {
        let Some(mut task) = tasks.first().copied() else {
            return self.go_backward(tasks, Next::Go);
        };
        tasks.remove(0);
        match (task.undo, verdict) {
            (_, Verdict::Done) => {}
            (Undo::Release, Verdict::AlreadyCommitted) => {
                let undo = Undo::Restock;
                tasks.insert(0, UndoTask { undo, failed: 0 });
                return self.go_backward(tasks, Next::WriteAndGo);
            }
            _ => {
                task.failed = task.failed.saturating_add(1);
                tasks.push(task);
            }
        }
        self.go_backward(tasks, Next::Go)
    }

    /// Goes on with `tasks`: `at_once` when the first has not failed yet.
    fn go_backward(&mut self, tasks: Vec<UndoTask>, at_once: Next) -> Next {
        let Some(first) = tasks.first() else {
            self.position = Position::Cancelled;
            return Next::End;
        };
        let next = match first.failed {
            0 => at_once,
            failed => Next::Wait { failed },
        };
        self.position = Position::Backward(tasks);
        next
    }

    /// The largest number of failed attempts at one undo.
    pub(crate) fn failed_undos(&self) -> u32 {
        match &self.position {
            Position::Backward(tasks) => tasks.iter().map(|task| task.failed).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Forgets the failed attempts at undos, so that they are tried at the quick pace again.
    pub(crate) fn forgive(&mut self) {
        if let Position::Backward(tasks) = &mut self.position {
            tasks.iter_mut().for_each(|task| task.failed = 0);
        }
    }

    /// Whether the present step may have been taken before without anybody knowing.
    pub(crate) const fn is_in_doubt(&self) -> bool {
        match self.position {
            Position::Forward { failed, .. } => self.resumed || failed > 0,
            _ => false,
        }
    }

    /// Whether the payment token may still be needed.
    pub(crate) const fn needs_token(&self) -> bool {
        matches!(
            self.position,
            Position::Forward {
                action: Action::Reserve | Action::Authorize,
                ..
            }
        )
    }

    /// The name of the present step, and the number of the next attempt at it.
    pub(crate) fn current(&self) -> Option<(&'static str, u32)> {
        match &self.position {
            Position::Forward { action, failed } => {
                Some((action.as_str(), failed.saturating_add(1)))
            }
            Position::Backward(tasks) => tasks
                .first()
                .map(|task| (task.undo.as_str(), task.failed.saturating_add(1))),
            Position::Confirmed | Position::Cancelled => None,
        }
    }
}

const fn forward(action: Action, failed: u32) -> Position {
    Position::Forward { action, failed }
}

#[cfg(test)]
mod tests;
