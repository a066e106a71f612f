//! Properties of the payment rules, checked against a provider that does its worst.

use std::collections::BTreeMap;
use std::time::Duration;

use common::clock::Clock;
use common::ids::{IntentId, OrderId, StoreId};
use common::money::Money;
use common::time::Timestamp;
use proptest::prelude::*;

use super::intent::{Intent, IntentState, Method};
use super::ledger::{Account, Booking, Entry, NotABooking};
use super::operation::{Kind, OperationId, Request, Settlement};
use super::payment::{Driver, Move, Order, Payment, Plan, RefundFault, Report, Want};
use super::policy::Policy;

const AMOUNT: i64 = 1_000;

const POLICY: Policy = Policy {
    provider_timeout: Duration::from_millis(1_800),
    late_effect: Duration::from_secs(5),
    max_sends: 3,
    max_backoff: Duration::from_secs(30),
};

fn usd(amount: i64) -> Money {
    Money::new(amount, "USD".parse().unwrap())
}

fn new_payment(method: Method, now: Timestamp) -> Payment {
    let clock = Clock::manual(now);
    let id = OrderId::new(&clock);
    let intent = Intent {
        id: IntentId::new(&clock),
        order_id: id,
        store_id: StoreId::new(&clock),
        attempt: 1,
        command_id: "command".to_owned(),
        method,
        amount: usd(AMOUNT),
        state: IntentState::Authorizing,
        captured: 0,
        refunded: 0,
        decline_code: None,
        token: "tok_ok".parse().ok(),
        provider_reference: None,
        created_at: now,
        updated_at: now,
    };
    let order = Order {
        id,
        voided: false,
        cancelled: false,
        closed: false,
    };
    Payment {
        order,
        intent,
        operations: Vec::new(),
    }
}

/// What the provider does with one request or question.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    /// Takes effect at once; the answer is lost.
    AnswerLost,
    /// Takes effect four seconds later; the answer is lost.
    Late,
    Unreachable,
    /// The driver dies before it could say what came of it; the request was delivered.
    DriverDies,
    /// The driver dies before it could send.
    DriverDiesFirst,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Answered),
        2 => Just(Fate::AnswerLost),
        1 => Just(Fate::Late),
        1 => Just(Fate::Unreachable),
        1 => Just(Fate::DriverDies),
        1 => Just(Fate::DriverDiesFirst),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Wish {
    Capture,
    Void,
    Refund(i64),
    Look,
    Wait(u64),
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        3 => Just(Wish::Capture),
        1 => Just(Wish::Void),
        3 => (-5_i64..AMOUNT + 50).prop_map(Wish::Refund),
        2 => Just(Wish::Look),
        2 => (1_u64..8_000).prop_map(Wish::Wait),
    ]
}

/// The provider's book, which remembers every key.
#[derive(Default)]
struct Provider {
    book: BTreeMap<OperationId, (Kind, i64, Settlement)>,
    late: Vec<(Timestamp, OperationId, Kind, i64)>,
    declines: Vec<bool>,
}

impl Provider {
    fn deliver(&mut self, id: OperationId, kind: Kind, amount: i64) -> Settlement {
        let declined = !self.book.contains_key(&id) && self.declines.pop().unwrap_or(false);
        let fresh = if declined {
            let code = "refused".to_owned();
            Settlement::Declined { code }
        } else {
            let reference = (kind == Kind::Authorize).then(|| "ref".to_owned());
            Settlement::Succeeded { reference }
        };
        let entry = self.book.entry(id).or_insert((kind, amount, fresh));
        entry.2.clone()
    }

    fn catch_up(&mut self, now: Timestamp) {
        let (landed, under_way) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|(lands_at, ..)| *lands_at <= now);
        self.late = under_way;
        let landed: Vec<_> = landed;
        for (_, id, kind, amount) in landed {
            self.deliver(id, kind, amount);
        }
    }

    fn total(&self, kind: Kind) -> i64 {
        self.book
            .values()
            .filter(|(of, _, end)| *of == kind && matches!(end, Settlement::Succeeded { .. }))
            .map(|(_, amount, _)| amount)
            .sum()
    }
}

struct World {
    payment: Payment,
    provider: Provider,
    fates: Vec<Fate>,
    now: Timestamp,
    balances: BTreeMap<Account, i64>,
}

impl World {
    fn step(&mut self, report: Report, plan: Plan) -> Move {
        let (step, next) = self
            .payment
            .advance(report, plan, &POLICY, self.now)
            .expect("no report contradicts what is known");
        for settled in &step.settled {
            if !matches!(settled.settlement, Settlement::Succeeded { .. }) {
                continue;
            }
            let method = self.payment.intent.method;
            let booking = Booking::of(settled.kind, method, settled.amount).unwrap();
            for entry in booking.iter().flat_map(Booking::entries) {
                *self.balances.entry(entry.account).or_default() += entry.amount.amount;
            }
        }
        self.check();
        next
    }

    fn check(&self) {
        let intent = &self.payment.intent;
        assert!(intent.refunded >= 0 && intent.refunded <= intent.captured);
        assert!(intent.captured == 0 || intent.captured == AMOUNT);
        assert!(self.payment.refundable().amount >= 0);
        assert_eq!(
            self.balances.values().sum::<i64>(),
            0,
            "the ledger sums to zero"
        );
        let clearing = self
            .balances
            .get(&Account::ProviderClearing)
            .copied()
            .unwrap_or(0);
        assert_eq!(clearing, intent.captured - intent.refunded);
        if intent.state != IntentState::Authorizing {
            assert!(intent.token.is_none(), "the token is erased");
        }
        let captures = self
            .provider
            .book
            .values()
            .filter(|(kind, ..)| *kind == Kind::Capture);
        assert!(captures.count() <= 1, "an intent is captured once");
        assert!(self.provider.total(Kind::Capture) <= AMOUNT);
        assert!(self.provider.total(Kind::Refund) <= self.provider.total(Kind::Capture));
    }

    /// Drives until there is nothing to do, the driver died, or everything waits.
    fn drive(&mut self, mut plan: Plan) {
        let mut next = self.step(Report::Nothing, plan);
        plan.driver = Driver::Patient;
        for _ in 0..50 {
            let report = match next {
                Move::Rest | Move::Wait(_) => return,
                Move::Ask(id) => self.ask(id),
                Move::Send(id) => match self.send(id) {
                    Some(report) => report,
                    None => return,
                },
            };
            next = self.step(report, plan);
        }
        panic!("the driver runs in circles");
    }

    fn ask(&mut self, id: OperationId) -> Report {
        self.provider.catch_up(self.now);
        match self.provider.book.get(&id) {
            Some((_, _, settlement)) => Report::Settled(id, settlement.clone()),
            None => Report::NotFound(id),
        }
    }

    fn send(&mut self, id: OperationId) -> Option<Report> {
        let operation = self.payment.operation(id).expect("what is sent is stored");
        let (kind, amount) = (operation.kind, operation.amount.amount);
        match self.fates.pop().unwrap_or(Fate::Answered) {
            Fate::Answered => {
                let settlement = self.provider.deliver(id, kind, amount);
                Some(Report::Settled(id, settlement))
            }
            Fate::AnswerLost => {
                self.provider.deliver(id, kind, amount);
                Some(Report::Unanswered(id))
            }
            Fate::Late => {
                let lands_at = self.now.plus(Duration::from_secs(4));
                self.provider.late.push((lands_at, id, kind, amount));
                Some(Report::Unanswered(id))
            }
            Fate::Unreachable => Some(Report::Unreachable(id)),
            Fate::DriverDies => {
                self.provider.deliver(id, kind, amount);
                None
            }
            Fate::DriverDiesFirst => None,
        }
    }

    fn resolve(&mut self) {
        for _ in 0..200 {
            self.now = self.now.plus(Duration::from_secs(30));
            let open: Vec<_> = self
                .payment
                .operations
                .iter()
                .filter(|o| o.is_open())
                .collect();
            let focus = open.first().map(|operation| operation.id);
            if focus.is_none() {
                return;
            }
            self.drive(plan(Want::Nothing, focus, Driver::Patient));
        }
        panic!("an operation never settles");
    }
}

fn plan(want: Want, focus: Option<OperationId>, driver: Driver) -> Plan {
    Plan {
        want,
        focus,
        driver,
    }
}

fn request(key: usize) -> Request {
    Request {
        caller: "somebody".to_owned(),
        key: key.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn whatever_the_provider_does_its_book_and_ours_agree_in_the_end(
        wishes in prop::collection::vec(wish(), 0..12),
        fates in prop::collection::vec(fate(), 0..24),
        declines in prop::collection::vec(prop::bool::weighted(0.15), 0..6),
    ) {
        let now = Timestamp::from_unix_seconds(1_767_225_600);
        let mut world = World {
            payment: new_payment(Method::Card, now),
            provider: Provider { declines, ..Provider::default() },
            fates,
            now,
            balances: BTreeMap::new(),
        };
        world.drive(plan(Want::Nothing, None, Driver::Caller));
        for (index, wish) in wishes.into_iter().enumerate() {
            world.now = world.now.plus(Duration::from_millis(10));
            match wish {
                Wish::Capture => world.drive(plan(Want::Capture, None, Driver::Caller)),
                Wish::Look => world.drive(plan(Want::Nothing, None, Driver::Caller)),
                Wish::Void => {
                    world.payment.order.voided = true;
                    world.drive(plan(Want::Nothing, None, Driver::Caller));
                }
                Wish::Wait(ms) => world.now = world.now.plus(Duration::from_millis(ms)),
                Wish::Refund(amount) => {
                    let now = world.now;
                    let refund = world.payment.add_refund(usd(amount), "why", request(index), now);
                    if let Ok(id) = refund {
                        world.drive(plan(Want::Nothing, Some(id), Driver::Caller));
                    }
                }
            }
        }
        world.resolve();
        world.check();
        let intent = &world.payment.intent;
        prop_assert_eq!(world.provider.total(Kind::Capture), intent.captured);
        prop_assert_eq!(world.provider.total(Kind::Refund), intent.refunded);
        if world.payment.order.voided {
            prop_assert!(world.payment.is_over(), "a voided order holds no money: {:?}", intent.state);
        }
        // Nothing that the provider does is unknown to us.
        world.now = world.now.plus(Duration::from_secs(60));
        world.provider.catch_up(world.now);
        for (id, (_, amount, settlement)) in &world.provider.book {
            let operation = world.payment.operation(*id).expect("stored before it was sent");
            prop_assert_eq!(operation.state, settlement.state());
            prop_assert_eq!(operation.amount.amount, *amount);
        }
    }

    #[test]
    fn refunds_never_exceed_what_was_captured(amounts in prop::collection::vec(1_i64..700, 1..20)) {
        let now = Timestamp::from_unix_seconds(1_767_225_600);
        let mut payment = new_payment(Method::Cash, now);
        let drive = plan(Want::Nothing, None, Driver::Caller);
        payment.advance(Report::Nothing, drive, &POLICY, now).unwrap();
        prop_assert_eq!(payment.intent.state, IntentState::Captured);
        let mut refunded = 0;
        for (index, amount) in amounts.into_iter().enumerate() {
            // Every second one is only begun: what is under way counts as gone.
            match payment.add_refund(usd(amount), "why", request(index), now) {
                Ok(id) if index % 2 == 0 => {
                    payment
                        .advance(Report::Nothing, Plan { focus: Some(id), ..drive }, &POLICY, now)
                        .unwrap();
                    refunded += amount;
                }
                Ok(_) => refunded += amount,
                Err(RefundFault::ExceedsRest { left }) => prop_assert_eq!(left.amount, AMOUNT - refunded),
                Err(RefundFault::NotCaptured(_)) => prop_assert_eq!(refunded, AMOUNT),
                Err(other) => prop_assert!(false, "{other}"),
            }
            prop_assert!(refunded <= AMOUNT);
            prop_assert_eq!(payment.refundable().amount, AMOUNT - refunded);
        }
    }

    #[test]
    fn a_booking_always_sums_to_zero(amounts in prop::collection::vec(-1_000_i64..1_000, 0..6)) {
        let accounts = [Account::CashDrawer, Account::SalesRevenue, Account::Refunds];
        let entries: Vec<Entry> = amounts
            .iter()
            .zip(accounts.iter().cycle())
            .map(|(amount, account)| Entry { account: *account, amount: usd(*amount) })
            .collect();
        let acceptable = amounts.len() >= 2 && !amounts.contains(&0) && amounts.iter().sum::<i64>() == 0;
        prop_assert_eq!(Booking::try_new(entries).is_ok(), acceptable);
    }

    #[test]
    fn what_is_booked_for_an_operation_sums_to_zero(amount in 1..i64::MAX) {
        for method in [Method::Card, Method::Cash] {
            for kind in [Kind::Authorize, Kind::Capture, Kind::Void, Kind::Refund] {
                let booking = Booking::of(kind, method, usd(amount)).unwrap();
                let moves = matches!(kind, Kind::Capture | Kind::Refund);
                prop_assert_eq!(booking.is_some(), moves);
                let entries = booking.iter().flat_map(Booking::entries);
                prop_assert_eq!(entries.map(|entry| i128::from(entry.amount.amount)).sum::<i128>(), 0);
            }
        }
    }
}

#[test]
fn currencies_do_not_balance_each_other() {
    let euro = Money::new(-5, "EUR".parse().unwrap());
    let entries = vec![
        Entry {
            account: Account::CashDrawer,
            amount: usd(5),
        },
        Entry {
            account: Account::SalesRevenue,
            amount: euro,
        },
    ];
    let currency = "USD".parse().unwrap();
    assert_eq!(
        Booking::try_new(entries),
        Err(NotABooking::Unbalanced { currency })
    );
    assert_eq!(Booking::try_new(Vec::new()), Err(NotABooking::Empty));
}

#[test]
fn a_key_is_the_same_whoever_derives_it() {
    let intent: IntentId = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e".parse().unwrap();
    let key = OperationId::derive(intent, Kind::Capture, 1);
    assert_eq!(key, OperationId::derive(intent, Kind::Capture, 1));
    assert_ne!(key, OperationId::derive(intent, Kind::Capture, 2));
    assert_ne!(key, OperationId::derive(intent, Kind::Refund, 1));
}

#[test]
fn an_unreachable_provider_is_tried_three_times_then_the_card_is_declined() {
    let now = Timestamp::from_unix_seconds(1_767_225_600);
    let mut world = World {
        payment: new_payment(Method::Card, now),
        provider: Provider::default(),
        fates: vec![Fate::Unreachable; 9],
        now,
        balances: BTreeMap::new(),
    };
    world.drive(plan(Want::Nothing, None, Driver::Caller));
    world.resolve();
    assert_eq!(world.payment.intent.state, IntentState::Declined);
    let code = world.payment.intent.decline_code.as_deref();
    assert_eq!(code, Some(super::payment::PROVIDER_UNAVAILABLE));
    assert_eq!(world.payment.operations.len(), 1);
    assert_eq!(world.payment.operations[0].sends, 3);
}
