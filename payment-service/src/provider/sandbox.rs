//! The sandbox: a payment provider without money, scripted by the token.
//!
//! It is an adapter like any other. Its book is its own: tables that nothing else reads, written in
//! transactions of its own, so that a crash between "the provider did it" and "we know it" leaves
//! exactly what it leaves with a real provider.
//!
//! | token | authorization | later |
//! |---|---|---|
//! | `tok_ok` | done | done |
//! | `tok_declined` | declined, `card_declined` | |
//! | `tok_timeout_after_success` | done, but never answered | done |
//! | `tok_slow` | done after the time set for it | done |
//! | `tok_network_error` | not reached, nothing recorded | |
//! | `tok_capture_declined` | done | the capture is declined |
//! | `tok_capture_timeout_after_success` | done | the capture is done, but never answered |
//! | `tok_refund_declined` | done | refunds are declined |
//! | `tok_refund_timeout_after_success` | done | refunds are done, but never answered |
//! | any other | declined, `unknown_token` | |

mod book;
mod script;
mod teller;

use std::time::Duration;

use ::store::{Batcher, Db, StoreError};
use async_trait::async_trait;
use common::clock::Clock;
use common::time::Timestamp;

use self::book::Line;
use self::script::Script;
use self::teller::{Asked, Recorded, Teller};
use super::{Authorization, BookEntry, Finding, FollowUp, PaymentProvider, ProviderError};
use crate::domain::operation::{Kind, OperationId, Settlement};

/// The sandbox provider.
pub(crate) struct Sandbox {
    db: Db,
    clock: Clock,
    teller: Batcher<Teller>,
}

impl Sandbox {
    /// A sandbox with its book in `db`; `slow` is the time that `tok_slow` takes.
    pub(crate) fn new(db: Db, clock: Clock, slow: Duration) -> Self {
        let teller = Batcher::new(Teller {
            db: db.clone(),
            clock: clock.clone(),
            slow,
        });
        Self { db, clock, teller }
    }

    /// The answer's way back: the script may hold it up or lose it, the first time.
    async fn answer(
        &self,
        kind: Kind,
        recorded: Result<Recorded, StoreError>,
    ) -> Result<Settlement, ProviderError> {
        let recorded = recorded.map_err(unanswered)?;
        if recorded.first_time && recorded.script.loses_answer_of(kind) {
            return std::future::pending().await;
        }
        let left = recorded.line.done_at.since(self.clock.now());
        if !left.is_zero() {
            tokio::time::sleep(left).await;
        }
        Ok(recorded.line.settlement())
    }

    async fn follow_up(&self, kind: Kind, request: &FollowUp) -> Result<Settlement, ProviderError> {
        let request = request.clone();
        let recorded = self.teller.run(Asked::FollowUp { kind, request }).await;
        self.answer(kind, recorded).await
    }
}

fn unanswered(error: StoreError) -> ProviderError {
    ProviderError::Unanswered(error.into())
}

#[async_trait]
impl PaymentProvider for Sandbox {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    async fn authorize(&self, request: &Authorization) -> Result<Settlement, ProviderError> {
        let script = Script::of_token(request.token.expose());
        if script == Script::NetworkError {
            return Err(ProviderError::Unreachable("scripted by the token".into()));
        }
        let request = request.clone();
        let recorded = self.teller.run(Asked::Authorize { request, script }).await;
        self.answer(Kind::Authorize, recorded).await
    }

    async fn capture(&self, request: &FollowUp) -> Result<Settlement, ProviderError> {
        self.follow_up(Kind::Capture, request).await
    }

    async fn void(&self, request: &FollowUp) -> Result<Settlement, ProviderError> {
        self.follow_up(Kind::Void, request).await
    }

    async fn refund(&self, request: &FollowUp) -> Result<Settlement, ProviderError> {
        self.follow_up(Kind::Refund, request).await
    }

    async fn query(&self, key: OperationId) -> Result<Finding, ProviderError> {
        let mut tx = self.db.glance().await.map_err(unanswered)?;
        let line = book::find_line(&mut tx, key).await.map_err(unanswered)?;
        Ok(match line {
            None => Finding::NotFound,
            Some(line) if line.done_at > self.clock.now() => Finding::Processing,
            Some(line) => Finding::Settled(line.settlement()),
        })
    }

    async fn list_book(
        &self,
        after: Option<OperationId>,
        limit: u32,
    ) -> Result<Vec<BookEntry>, ProviderError> {
        let now: Timestamp = self.clock.now();
        let mut tx = self.db.glance().await.map_err(unanswered)?;
        let lines = book::list_lines(&mut tx, after, now, limit)
            .await
            .map_err(unanswered)?;
        Ok(lines.into_iter().map(Line::into_entry).collect())
    }
}
