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

use std::time::Duration;

use ::store::{Db, StoreError, Tx};
use async_trait::async_trait;
use common::clock::Clock;
use common::time::Timestamp;

use self::book::{Line, PaymentRow};
use self::script::Script;
use super::{Authorization, BookEntry, Finding, FollowUp, PaymentProvider, ProviderError};
use crate::domain::operation::{Kind, OperationId, Settlement};

/// The sandbox provider.
pub(crate) struct Sandbox {
    db: Db,
    clock: Clock,
    slow: Duration,
}

/// What came of a request: the line in the book, and how its answer travels.
struct Recorded {
    line: Line,
    first_time: bool,
    script: Script,
}

impl Sandbox {
    /// A sandbox with its book in `db`; `slow` is the time that `tok_slow` takes.
    pub(crate) const fn new(db: Db, clock: Clock, slow: Duration) -> Self {
        Self { db, clock, slow }
    }

    async fn record_authorization(
        &self,
        request: &Authorization,
        script: Script,
    ) -> Result<Recorded, StoreError> {
        let now = self.clock.now();
        let decline = script.decline_of(Kind::Authorize);
        let reference = format!("sbx_{}", request.key.as_uuid().simple());
        let takes_its_time = script == Script::Slow;
        let line = Line {
            key: request.key,
            kind: Kind::Authorize,
            reference: decline.is_none().then_some(reference),
            amount: request.amount,
            decline: decline.map(ToOwned::to_owned),
            done_at: if takes_its_time {
                now.plus(self.slow)
            } else {
                now
            },
        };
        let mut tx = self.db.begin().await?;
        if !book::insert_line(&mut tx, &line, now).await? {
            return recorded_before(&mut tx, line, script).await;
        }
        if let Some(reference) = &line.reference {
            book::insert_payment(&mut tx, (reference, request.amount), script, now).await?;
        }
        tx.commit().await?;
        Ok(Recorded {
            line,
            first_time: true,
            script,
        })
    }

    async fn record_follow_up(
        &self,
        kind: Kind,
        request: &FollowUp,
    ) -> Result<Recorded, StoreError> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let payment = book::lock_payment(&mut tx, &request.reference).await?;
        let known = payment.as_ref();
        let script = known.map_or(Script::Unknown, |payment| payment.script);
        let line = Line {
            key: request.key,
            kind,
            reference: Some(request.reference.clone()),
            amount: request.amount,
            decline: refusal(kind, request, known).map(ToOwned::to_owned),
            done_at: now,
        };
        if !book::insert_line(&mut tx, &line, now).await? {
            return recorded_before(&mut tx, line, script).await;
        }
        if line.decline.is_none() {
            book::apply(&mut tx, &request.reference, kind, request.amount.amount).await?;
        }
        tx.commit().await?;
        Ok(Recorded {
            line,
            first_time: true,
            script,
        })
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
        let recorded = self.record_follow_up(kind, request).await;
        self.answer(kind, recorded).await
    }
}

/// A key that is in the book keeps what it brought the first time, whatever is asked now.
async fn recorded_before(tx: &mut Tx, asked: Line, script: Script) -> Result<Recorded, StoreError> {
    let line = book::find_line(tx, asked.key).await?.unwrap_or(asked);
    Ok(Recorded {
        line,
        first_time: false,
        script,
    })
}

/// Why a request about a payment is declined, if it is.
fn refusal(kind: Kind, request: &FollowUp, payment: Option<&PaymentRow>) -> Option<&'static str> {
    let Some(payment) = payment else {
        return Some("unknown_payment");
    };
    if let Some(code) = payment.script.decline_of(kind) {
        return Some(code);
    }
    if request.amount.currency != payment.currency {
        return Some("currency_mismatch");
    }
    let amount = request.amount.amount;
    let allowed = match kind {
        Kind::Capture => !payment.voided && payment.captured == 0 && amount <= payment.amount,
        Kind::Void => payment.captured == 0,
        Kind::Refund => amount <= payment.captured - payment.refunded,
        Kind::Authorize => false,
    };
    (!allowed).then_some("not_allowed")
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
        let recorded = self.record_authorization(request, script).await;
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
        let mut tx = self.db.read().await.map_err(unanswered)?;
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
        let mut tx = self.db.read().await.map_err(unanswered)?;
        let lines = book::list_lines(&mut tx, after, now, limit)
            .await
            .map_err(unanswered)?;
        Ok(lines.into_iter().map(Line::into_entry).collect())
    }
}
