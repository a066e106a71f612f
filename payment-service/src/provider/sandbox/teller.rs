//! Writes requests into the sandbox's book, those that come at the same time in one transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use ::store::{BatchResult, BatchWork, Db, StoreError};
use common::clock::Clock;
use common::time::Timestamp;

use super::book::{self, Line, PaymentRow};
use super::script::Script;
use crate::domain::operation::{Kind, OperationId};
use crate::provider::{Authorization, FollowUp};

#[cfg(test)]
mod tests;

/// Decides on requests.
pub(super) struct Teller {
    pub(super) db: Db,
    pub(super) clock: Clock,
    /// The time that `tok_slow` takes.
    pub(super) slow: Duration,
}

/// A request that reached the sandbox.
pub(super) enum Asked {
    Authorize {
        request: Authorization,
        script: Script,
    },
    FollowUp {
        kind: Kind,
        request: FollowUp,
    },
}

/// What came of a request: the line in the book, and how its answer travels.
pub(super) struct Recorded {
    pub(super) line: Line,
    pub(super) first_time: bool,
    pub(super) script: Script,
}

impl Asked {
    const fn key(&self) -> OperationId {
        match self {
            Self::Authorize { request, .. } => request.key,
            Self::FollowUp { request, .. } => request.key,
        }
    }

    /// The payment that it is about, if there should be one.
    fn reference(&self) -> Option<&str> {
        match self {
            Self::Authorize { .. } => None,
            Self::FollowUp { request, .. } => Some(&request.reference),
        }
    }
}

impl BatchWork for Teller {
    type Request = Asked;
    type Answer = Recorded;
    type Error = StoreError;

    fn db(&self) -> &Db {
        &self.db
    }

    async fn work(&self, requests: &[Asked]) -> BatchResult<Self> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let references: BTreeSet<_> = requests.iter().filter_map(Asked::reference).collect();
        let keys: Vec<_> = requests.iter().map(Asked::key).collect();
        let mut page = Page {
            now,
            slow: self.slow,
            payments: book::lock_payments(&mut tx, &references).await?,
            known: book::find_lines(&mut tx, &keys).await?,
            lines: BTreeMap::new(),
            changed: BTreeSet::new(),
        };
        let recorded = requests
            .iter()
            .map(|asked| Ok(page.record(asked)))
            .collect();
        let lines: Vec<_> = page.lines.values().collect();
        book::insert_lines(&mut tx, &lines, now).await?;
        book::store_payments(&mut tx, &page.changed_payments(), now).await?;
        tx.commit().await?;
        Ok(recorded)
    }
}

/// What a batch reads and writes of the book.
struct Page {
    now: Timestamp,
    slow: Duration,
    /// Those that are asked about or authorized here, by reference.
    payments: BTreeMap<String, PaymentRow>,
    /// Lines from before.
    known: HashMap<OperationId, Line>,
    /// New lines.
    lines: BTreeMap<OperationId, Line>,
    /// References of payments that are new, or to which something was done.
    changed: BTreeSet<String>,
}

impl Page {
    /// A key that is in the book keeps what it brought the first time, whatever is asked now.
    fn record(&mut self, asked: &Asked) -> Recorded {
        let script = match asked {
            Asked::Authorize { script, .. } => *script,
            Asked::FollowUp { request, .. } => {
                let payment = self.payments.get(&request.reference);
                payment.map_or(Script::Unknown, |payment| payment.script)
            }
        };
        let key = asked.key();
        let before = self.known.get(&key).or_else(|| self.lines.get(&key));
        let (line, first_time) = match before {
            Some(line) => (line.clone(), false),
            None => (self.decide(asked), true),
        };
        Recorded {
            line,
            first_time,
            script,
        }
    }

    fn decide(&mut self, asked: &Asked) -> Line {
        let line = match asked {
            Asked::Authorize { request, script } => self.authorize(request, *script),
            Asked::FollowUp { kind, request } => self.follow_up(*kind, request),
        };
        self.lines.insert(line.key, line.clone());
        line
    }

    fn authorize(&mut self, request: &Authorization, script: Script) -> Line {
        let decline = script.decline_of(Kind::Authorize);
        let reference = format!("sbx_{}", request.key.as_uuid().simple());
        if decline.is_none() {
            let payment = PaymentRow {
                reference: reference.clone(),
                amount: request.amount.amount,
                currency: request.amount.currency,
                script,
                captured: 0,
                refunded: 0,
                voided: false,
            };
            self.changed.insert(reference.clone());
            self.payments.insert(reference.clone(), payment);
        }
        let takes_its_time = script == Script::Slow;
        Line {
            key: request.key,
            kind: Kind::Authorize,
            reference: decline.is_none().then_some(reference),
            amount: request.amount,
            decline: decline.map(ToOwned::to_owned),
            done_at: if takes_its_time {
                self.now.plus(self.slow)
            } else {
                self.now
            },
        }
    }

    fn follow_up(&mut self, kind: Kind, request: &FollowUp) -> Line {
        let payment = self.payments.get_mut(&request.reference);
        let decline = refusal(kind, request, payment.as_deref());
        if let (Some(payment), None) = (payment, decline) {
            match kind {
                Kind::Capture => payment.captured += request.amount.amount,
                Kind::Refund => payment.refunded += request.amount.amount,
                Kind::Void => payment.voided = true,
                Kind::Authorize => {}
            }
            self.changed.insert(request.reference.clone());
        }
        Line {
            key: request.key,
            kind,
            reference: Some(request.reference.clone()),
            amount: request.amount,
            decline: decline.map(ToOwned::to_owned),
            done_at: self.now,
        }
    }

    fn changed_payments(&self) -> Vec<&PaymentRow> {
        let references = self.changed.iter();
        references
            .filter_map(|reference| self.payments.get(reference))
            .collect()
    }
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
