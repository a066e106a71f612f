//! A database with the works of the order path, and requests for them.

use std::time::Duration;

use ::store::BatchWork as _;
use common::clock::Clock;
use common::context::RequestContext;
use common::ids::{IntentId, OrderId, StoreId};
use common::money::Money;
use common::settings::EventsSettings;
use common::time::Timestamp;
use contracts::events::{OrderCancelled, PaymentRefunded};
use contracts::services::ServiceName;
use messaging::Outbox;
use proptest::prelude::*;
use testkit::TestDatabase;
use uuid::Uuid;

use crate::app::authorize::{self, Begin};
use crate::app::drafts::Cue;
use crate::app::drive::Progress;
use crate::app::order_cancelled::orders_cancelled;
use crate::app::steps::{Desk, StepOf, Steps};
use crate::domain::intent::Method;
use crate::domain::operation::{Kind, Operation, OperationId, Settlement};
use crate::domain::payment::{Driver, Move, Payment, Plan, Report, Want};
use crate::domain::policy::Policy;
use crate::error::UseCaseError;
use crate::store::listing::{self, Listed};
use crate::store::{operations, payments};

const POLICY: Policy = Policy {
    provider_timeout: Duration::from_millis(600),
    late_effect: Duration::from_millis(1_500),
    max_sends: 3,
    max_backoff: Duration::from_millis(500),
};

/// Orders of one case.
pub(super) const ORDERS: usize = 4;

/// What somebody wants of an order.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) order: usize,
    pub(super) action: Action,
}

#[derive(Clone, Debug)]
pub(super) enum Action {
    Authorize {
        command: u8,
        cash: bool,
        other_terms: bool,
    },
    /// Of the latest intent and what is open of it.
    Step {
        news: News,
        capture: bool,
        patient: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum News {
    Nothing,
    Succeeded,
    Declined,
    Unanswered,
    Unreachable,
    NotFound,
    /// Of the first operation, whatever came of it before.
    SucceededLate,
}

pub(super) fn news() -> impl Strategy<Value = News> {
    prop_oneof![
        3 => Just(News::Nothing),
        6 => Just(News::Succeeded),
        2 => Just(News::Declined),
        1 => Just(News::Unanswered),
        1 => Just(News::Unreachable),
        1 => Just(News::NotFound),
        1 => Just(News::SucceededLate),
    ]
}

/// Whether requests that come at the same time share a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Together,
    OneByOne,
}

pub(super) struct World {
    pub(super) clock: Clock,
    pub(super) steps: Steps,
    manner: Manner,
    desk: Desk,
    store: StoreId,
    _database: TestDatabase,
}

impl World {
    pub(super) async fn new(manner: Manner) -> Self {
        let database = TestDatabase::create().await;
        let db = database.connect().await;
        let migrations = [
            &crate::MIGRATIONS,
            &messaging::MIGRATIONS,
            &::store::idempotency::MIGRATIONS,
        ];
        db.migrate(&migrations).await.unwrap();
        let clock = Clock::manual("2026-03-01T09:30:00Z".parse().unwrap());
        let settings = EventsSettings {
            amqp_url: String::new().into(),
            poll_interval_ms: 1_000,
            batch_size: 1,
            max_attempts: 1,
        };
        let desk = Desk {
            outbox: Outbox::new(ServiceName::Payment, &settings, clock.clone()),
            policy: POLICY,
            clock: clock.clone(),
            db,
        };
        Self {
            steps: Steps(desk.clone()),
            store: StoreId::from_uuid(Uuid::nil()),
            clock,
            manner,
            desk,
            _database: database,
        }
    }

    /// Lets everybody have what they want; says what they were told.
    pub(super) async fn grant(&self, orders: &[OrderId], wishes: &[Wish]) -> Vec<String> {
        let mut steps: Vec<_> = wishes
            .iter()
            .filter_map(|wish| self.begin(orders, wish))
            .collect();
        let begins = steps.len();
        for wish in wishes {
            steps.extend(self.step(orders, wish).await);
        }
        // A batch takes the first steps first, wherever they stand in it.
        let later = steps.len() - begins;
        if self.manner == Manner::Together {
            steps.rotate_left(begins);
        }
        let mut told = Vec::new();
        for requests in self.cut(&steps) {
            let answers = self.steps.work(requests).await.unwrap();
            told.extend(answers.iter().map(|made| match made {
                Ok(Some(progress)) => summary(progress),
                Ok(None) => "given up".to_owned(),
                Err(error) => format!("{error:?}"),
            }));
        }
        if self.manner == Manner::Together {
            told.rotate_left(later);
        }
        told
    }

    fn cut<'r, T>(&self, requests: &'r [T]) -> std::slice::Chunks<'r, T> {
        match self.manner {
            Manner::Together => requests.chunks(::store::MAX_BATCH),
            Manner::OneByOne => requests.chunks(1),
        }
    }

    fn begin(&self, orders: &[OrderId], wish: &Wish) -> Option<StepOf> {
        let Action::Authorize {
            command,
            cash,
            other_terms,
        } = wish.action
        else {
            return None;
        };
        let method = if cash { Method::Cash } else { Method::Card };
        let token = (!cash).then(|| "tok_ok".parse().unwrap());
        Some(StepOf::Begun(Begin::new(authorize::Request {
            command_id: format!("command-{command}"),
            order_id: orders[wish.order],
            store_id: self.store,
            amount: Money::new(1_000 + i64::from(other_terms), "USD".parse().unwrap()),
            method,
            token,
        })))
    }

    async fn step(&self, orders: &[OrderId], wish: &Wish) -> Option<StepOf> {
        let Action::Step {
            news,
            capture,
            patient,
        } = wish.action
        else {
            return None;
        };
        let (intent, operations) = self.latest(orders[wish.order]).await;
        let open = operations.iter().find(|operation| operation.is_open());
        let plan = Plan {
            want: if capture {
                Want::Capture
            } else {
                Want::Nothing
            },
            focus: None,
            driver: if patient {
                Driver::Patient
            } else {
                Driver::Caller
            },
        };
        let report = report(news, open, operations.first());
        let cue = Cue::new(report, plan);
        Some(StepOf::Known(intent, cue))
    }

    async fn latest(&self, order: OrderId) -> (IntentId, Vec<Operation>) {
        let mut tx = self.desk.db.read().await.unwrap();
        let intent = payments::find_intent_of_order(&mut tx, order)
            .await
            .unwrap();
        let id = intent.map_or(IntentId::from_uuid(Uuid::nil()), |intent| intent.id);
        (id, operations::list_of_intent(&mut tx, id).await.unwrap())
    }

    /// Cancels orders in one transaction, or each in its own.
    pub(super) async fn cancel(&self, orders: &[OrderId]) {
        for orders in self.cut(orders) {
            self.try_cancel(orders).await.unwrap();
        }
    }

    /// Cancels orders in one transaction.
    pub(super) async fn try_cancel(&self, orders: &[OrderId]) -> Result<(), UseCaseError> {
        let now = self.clock.now();
        let cancelled = orders.iter().map(|order| OrderCancelled {
            order_id: *order,
            store_id: self.store,
            reason: "guest_left".to_owned(),
            cancelled_at: now,
            was_confirmed: true,
        });
        let cancelled = cancelled.map(|event| (RequestContext::background(), event));
        let Desk { db, outbox, .. } = &self.desk;
        let mut tx = db.begin().await?;
        orders_cancelled(&mut tx, outbox, &POLICY, cancelled.collect(), now).await?;
        Ok(tx.commit().await?)
    }

    /// One authorization for each of these orders.
    pub(super) fn authorizations_of(&self, orders: &[OrderId]) -> Vec<StepOf> {
        let action = Action::Authorize {
            command: 0,
            cash: false,
            other_terms: false,
        };
        let wish = |order| Wish {
            order,
            action: action.clone(),
        };
        let wishes = (0..orders.len()).map(wish);
        wishes
            .filter_map(|wish| self.begin(orders, &wish))
            .collect()
    }

    /// What the provider did, for each of these orders.
    pub(super) async fn steps_of(&self, orders: &[OrderId]) -> Vec<StepOf> {
        let action = Action::Step {
            news: News::Succeeded,
            capture: true,
            patient: false,
        };
        let mut steps = Vec::new();
        for order in 0..orders.len() {
            let action = action.clone();
            steps.extend(self.step(orders, &Wish { order, action }).await);
        }
        steps
    }

    /// All that is stored about the orders, but for ids that are drawn by lot.
    pub(super) async fn rows(&self, orders: &[OrderId]) -> Vec<String> {
        let mut tx = self.desk.db.read().await.unwrap();
        let mut rows = Vec::new();
        for order in orders {
            let marks = ::store::fetch_optional!(
                tx,
                (
                    Option<Timestamp>,
                    Option<Timestamp>,
                    Option<Timestamp>,
                    Timestamp
                ),
                "SELECT voided_at, cancelled_at, closed_at, created_at
                 FROM payment_orders WHERE order_id = $1",
                order
            );
            rows.push(format!("{:?}", marks.unwrap()));
            let listed = listing::list_of_order(&mut tx, *order, None, 100);
            let mut intents: Vec<_> = listed.await.unwrap().into_iter().collect();
            intents.sort_by_key(|listed| listed.intent.attempt);
            for Listed { mut intent, .. } in intents {
                let operations = operations::list_of_intent(&mut tx, intent.id).await;
                rows.extend(operations.unwrap().into_iter().map(|mut operation| {
                    operation.id = OperationId::from_uuid(Uuid::nil());
                    operation.intent_id = IntentId::from_uuid(Uuid::nil());
                    // Nobody asks in a trace here, so that each operation begins one of its own.
                    assert!(operation.traceparent.take().is_some());
                    format!("{operation:?}")
                }));
                intent.id = IntentId::from_uuid(Uuid::nil());
                rows.push(format!("{intent:?}"));
            }
            let booked = ::store::fetch_all!(
                tx,
                (String, i64, String, i64),
                "SELECT o.kind, e.entry_no, e.account, e.amount
                 FROM ledger_entries e JOIN operations o ON o.id = e.transaction_id
                 JOIN intents i ON i.id = o.intent_id
                 WHERE i.order_id = $1 ORDER BY i.attempt, o.kind, o.attempt, e.entry_no",
                order
            );
            rows.push(format!("{:?}", booked.unwrap()));
        }
        let told = ::store::fetch_all!(
            tx,
            (String, String),
            "SELECT destination, body FROM outbox ORDER BY seq, destination"
        );
        let mut told: Vec<_> = told.unwrap().iter().map(told_of).collect();
        told.retain(|(order, _)| orders.contains(order));
        // Between orders, events have no order.
        told.sort_by_key(|(order, _)| *order);
        rows.extend(told.into_iter().map(|(_, event)| event));
        rows
    }
}

fn told_of((destination, body): &(String, String)) -> (OrderId, String) {
    let envelope: serde_json::Value = serde_json::from_str(body).unwrap();
    let event: PaymentRefunded = serde_json::from_value(envelope["data"].clone()).unwrap();
    let PaymentRefunded {
        order_id,
        amount,
        refunded_total,
        full,
        ..
    } = event;
    let told = format!("{destination} {amount} {refunded_total} {full}");
    (order_id, told)
}

fn report(news: News, open: Option<&Operation>, first: Option<&Operation>) -> Report {
    let about = if matches!(news, News::SucceededLate) {
        first
    } else {
        open
    };
    let Some(operation) = about else {
        return Report::Nothing;
    };
    let id = operation.id;
    match news {
        News::Nothing => Report::Nothing,
        News::Succeeded | News::SucceededLate => {
            let reference = (operation.kind == Kind::Authorize).then(|| "ref".to_owned());
            Report::Settled(id, Settlement::Succeeded { reference })
        }
        News::Declined => {
            let code = "refused".to_owned();
            Report::Settled(id, Settlement::Declined { code })
        }
        News::Unanswered => Report::Unanswered(id),
        News::Unreachable => Report::Unreachable(id),
        News::NotFound => Report::NotFound(id),
    }
}

/// Where a payment stands and what is next, without ids.
fn summary(Progress { payment, next }: &Progress) -> String {
    let name = |id: &OperationId| payment.operation(*id).map(|o| (o.kind, o.attempt));
    let next = match next {
        Move::Send(id) => format!("send {:?}", name(id)),
        Move::Ask(id) => format!("ask {:?}", name(id)),
        other => format!("{other:?}"),
    };
    let operations = payment.operations.iter();
    let operations: Vec<_> = operations
        .map(|o| (o.kind, o.attempt, o.state, o.sends, o.asks))
        .collect();
    let Payment { order, intent, .. } = payment;
    format!("{order:?} {:?} {operations:?} {next}", intent.state)
}
