//! The saga against a world that does what it is told, or not, or does not say.

use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::from_micros(0);
const DEADLINE: Duration = Duration::from_secs(15);

fn saga(free: bool) -> Saga {
    Saga::new(START, DEADLINE, free)
}

/// Runs the verdicts and returns the names of the steps that were attempted.
fn steps(saga: &mut Saga, verdicts: &[Verdict], now: Timestamp) -> Vec<&'static str> {
    let attempt = |verdict: &Verdict| {
        let (step, _) = saga.current()?;
        saga.settle(*verdict, now);
        Some(step)
    };
    verdicts.iter().map_while(attempt).collect()
}

#[test]
fn every_failure_undoes_what_may_have_happened() {
    use CancelReason as R;
    use Verdict::{AlreadyCommitted, Done, Refused, Unclear};
    let late = START.plus(DEADLINE);
    for (verdicts, expected, reason) in [
        (
            vec![Done, Done, Done, Done],
            "reserve authorize commit capture",
            None,
        ),
        (vec![Refused(R::OutOfStock)], "reserve", Some(R::OutOfStock)),
        (
            vec![Unclear, Done],
            "reserve release",
            Some(R::InventoryUnavailable),
        ),
        (
            vec![Done, Refused(R::PaymentDeclined), Done],
            "reserve authorize release",
            Some(R::PaymentDeclined),
        ),
        (
            vec![Done, Unclear, Done, Done],
            "reserve authorize void release",
            Some(R::PaymentUnavailable),
        ),
        (
            vec![Done, Done, Refused(R::ReservationExpired), Done, Done],
            "reserve authorize commit void release",
            Some(R::ReservationExpired),
        ),
        (
            vec![Done, Done, Unclear, Done, AlreadyCommitted, Done],
            "reserve authorize commit void release restock",
            Some(R::InventoryUnavailable),
        ),
        (
            vec![Done, Done, Done, Refused(R::PaymentFailed), Done, Done],
            "reserve authorize commit capture void restock",
            Some(R::PaymentFailed),
        ),
        (
            vec![Done, Done, Done, Unclear, Unclear, Done, Done],
            "reserve authorize commit capture void restock void",
            Some(R::PaymentUnavailable),
        ),
    ] {
        let mut saga = saga(false);
        let taken = steps(&mut saga, &verdicts, late);
        assert_eq!(taken.join(" "), expected);
        assert_eq!(saga.reason, reason);
        let end = if reason.is_none() {
            Position::Confirmed
        } else {
            Position::Cancelled
        };
        assert_eq!(saga.position, end, "{expected}");
    }
}

#[test]
fn a_free_order_never_meets_the_payment_service() {
    let mut paid = saga(true);
    let taken = steps(&mut paid, &[Verdict::Done; 4], START);
    assert_eq!(taken, ["reserve", "commit"]);
    assert_eq!(paid.position, Position::Confirmed);

    let mut refused = saga(true);
    let verdicts = [
        Verdict::Done,
        Verdict::Refused(CancelReason::ReservationExpired),
        Verdict::Done,
    ];
    let taken = steps(&mut refused, &verdicts, START);
    assert_eq!(taken, ["reserve", "commit", "release"]);
    assert_eq!(refused.position, Position::Cancelled);
}

#[test]
fn an_unclear_step_is_repeated_until_the_deadline() {
    let mut saga = saga(false);
    for failed in 1..=3 {
        assert_eq!(saga.settle(Verdict::Unclear, START), Next::Wait { failed });
        assert_eq!(saga.current(), Some(("reserve", failed + 1)));
    }
    let next = saga.settle(Verdict::Unclear, START.plus(DEADLINE));
    assert_eq!(next, Next::WriteAndGo);
    assert_eq!(saga.current(), Some(("release", 1)));
}

#[test]
fn intents_are_written_for_each_run_and_at_each_turn() {
    let mut good = saga(false);
    let writes: Vec<Next> = (0..4).map(|_| good.settle(Verdict::Done, START)).collect();
    assert_eq!(writes, [Next::Go, Next::WriteAndGo, Next::Go, Next::End]);

    let mut out_of_stock = saga(false);
    let refusal = Verdict::Refused(CancelReason::OutOfStock);
    assert_eq!(out_of_stock.settle(refusal, START), Next::End);

    let mut turned = saga(false);
    turned.settle(Verdict::Done, START);
    assert_eq!(turned.settle(Verdict::Rejected, START), Next::WriteAndGo);
    // A failing void lets the release go first; only then is there a wait.
    assert_eq!(turned.settle(Verdict::Unclear, START), Next::Go);
    assert_eq!(turned.current(), Some(("release", 1)));
    assert_eq!(
        turned.settle(Verdict::AlreadyCommitted, START),
        Next::WriteAndGo
    );
    assert_eq!(
        turned.settle(Verdict::Done, START),
        Next::Wait { failed: 1 }
    );
    assert_eq!(turned.current(), Some(("void", 2)));
    assert_eq!(turned.failed_undos(), 1);
    turned.forgive();
    assert_eq!(turned.current(), Some(("void", 1)));
}

#[test]
fn the_token_is_needed_until_the_payment_is_authorized() {
    let mut saga = saga(false);
    assert!(saga.needs_token());
    saga.settle(Verdict::Done, START);
    assert!(saga.needs_token());
    saga.settle(Verdict::Done, START);
    assert!(!saga.needs_token());
}

/// What stock and payment look like from outside.
#[derive(Clone, Debug, Default)]
struct World {
    held: bool,
    consumed: bool,
    released: bool,
    expired: bool,
    authorized: bool,
    captured: bool,
    voided: bool,
    commands: Vec<&'static str>,
}

const LOST: Verdict = Verdict::Refused(CancelReason::ReservationExpired);
const UNPAID: Verdict = Verdict::Refused(CancelReason::PaymentFailed);

impl World {
    /// Does one command as its service would and gives the honest answer.
    fn obey(&mut self, step: &'static str) -> Verdict {
        self.commands.push(step);
        match step {
            "reserve" if self.released || self.expired => LOST,
            "reserve" => {
                self.held = !self.consumed;
                Verdict::Done
            }
            "authorize" if self.voided => UNPAID,
            "authorize" => {
                self.authorized = !self.captured;
                Verdict::Done
            }
            "commit" if self.held || self.consumed => {
                (self.held, self.consumed) = (false, true);
                Verdict::Done
            }
            "commit" => LOST,
            "capture" if self.captured => Verdict::Done,
            "capture" if self.authorized && !self.voided => {
                (self.authorized, self.captured) = (false, true);
                Verdict::Done
            }
            "capture" => UNPAID,
            "void" => {
                (self.authorized, self.captured, self.voided) = (false, false, true);
                Verdict::Done
            }
            "release" if self.consumed => Verdict::AlreadyCommitted,
            "release" => {
                (self.held, self.released) = (false, true);
                Verdict::Done
            }
            "restock" => {
                self.consumed = false;
                Verdict::Done
            }
            other => panic!("no such step: {other}"),
        }
    }

    /// What the service says about a step that may have been taken; `None` when it was not but
    /// still can be.
    fn ask(&self, step: &'static str) -> Option<Verdict> {
        let gone = self.released || self.expired;
        match step {
            "reserve" if self.held || self.consumed => Some(Verdict::Done),
            "reserve" | "commit" if gone => Some(LOST),
            "authorize" if self.authorized || self.captured => Some(Verdict::Done),
            "authorize" | "capture" if self.voided => Some(UNPAID),
            "commit" if self.consumed => Some(Verdict::Done),
            "capture" if self.captured => Some(Verdict::Done),
            _ => None,
        }
    }

    /// One attempt at the present step of an honest driver and an honest service.
    fn attempt(&mut self, saga: &Saga, step: &'static str) -> Verdict {
        let known = saga.is_in_doubt().then(|| self.ask(step)).flatten();
        known.unwrap_or_else(|| self.obey(step))
    }

    /// Whether the service has already done what it would now be made to refuse.
    fn has_done(&self, step: &str) -> bool {
        match step {
            "reserve" => self.held || self.consumed,
            "authorize" => self.authorized || self.captured,
            "commit" => self.consumed,
            _ => self.captured,
        }
    }

    fn expire(&mut self) {
        if self.held {
            (self.held, self.expired) = (false, true);
        }
    }
}

/// How one attempt goes.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    LostBeforeEffect,
    LostAfterEffect,
    Refused,
    Rejected,
    /// The driver dies and another one resumes from what was written.
    CrashBeforeCommand,
    CrashAfterEffect,
    /// The held stock falls back to the store before the attempt.
    HoldExpires,
}

fn fates() -> impl Strategy<Value = Vec<(Fate, u64)>> {
    let fate = prop_oneof![
        6 => Just(Fate::Answered),
        2 => Just(Fate::LostBeforeEffect),
        2 => Just(Fate::LostAfterEffect),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Rejected),
        2 => Just(Fate::CrashBeforeCommand),
        2 => Just(Fate::CrashAfterEffect),
        1 => Just(Fate::HoldExpires),
    ];
    prop::collection::vec((fate, 0_u64..6), 0..40)
}

/// Runs a saga through the fates and then to its end among honest services.
fn run(fates: Vec<(Fate, u64)>, free: bool) -> (Saga, World) {
    let (mut saga, mut world, mut now) = (saga(free), World::default(), START);
    let mut written = saga.clone();
    let honest = std::iter::repeat_n((Fate::Answered, 0), 30);
    for (fate, seconds) in fates.into_iter().chain(honest) {
        let Some((step, _)) = saga.current() else {
            break;
        };
        now = now.plus(Duration::from_secs(seconds));
        let undoing = matches!(saga.position, Position::Backward(_));
        let verdict = match fate {
            Fate::Answered => world.attempt(&saga, step),
            Fate::HoldExpires => {
                world.expire();
                world.attempt(&saga, step)
            }
            Fate::LostBeforeEffect => Verdict::Unclear,
            Fate::LostAfterEffect => {
                world.attempt(&saga, step);
                Verdict::Unclear
            }
            Fate::Rejected => Verdict::Rejected,
            Fate::Refused if undoing => Verdict::Rejected,
            Fate::Refused if world.has_done(step) => world.attempt(&saga, step),
            Fate::Refused => Verdict::Refused(CancelReason::OutOfStock),
            Fate::CrashBeforeCommand | Fate::CrashAfterEffect => {
                if matches!(fate, Fate::CrashAfterEffect) {
                    world.attempt(&saga, step);
                }
                saga = Saga {
                    resumed: true,
                    ..written.clone()
                };
                continue;
            }
        };
        let next = saga.settle(verdict, now);
        assert!(
            !undoing || !matches!(saga.position, Position::Forward { .. }),
            "a saga that turned back went forward again"
        );
        if next != Next::Go {
            written = saga.clone();
        }
    }
    (saga, world)
}

#[test]
fn money_set_aside_before_a_crash_is_let_go_when_the_hold_ran_out_meanwhile() {
    let fates = vec![
        (Fate::Answered, 0),
        (Fate::CrashAfterEffect, 0),
        (Fate::HoldExpires, 0),
    ];
    let (saga, world) = run(fates, false);
    assert_eq!(saga.position, Position::Cancelled);
    assert!(!world.authorized, "{world:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_happens_it_ends_with_all_or_nothing(fates in fates(), free in any::<bool>()) {
        let (saga, world) = run(fates, free);
        match &saga.position {
            Position::Confirmed => {
                prop_assert!(world.consumed && !world.held);
                prop_assert_eq!(world.captured, !free);
            }
            Position::Cancelled => {
                prop_assert!(!world.consumed && !world.held, "{world:?}");
                prop_assert!(!world.captured && !world.authorized, "{world:?}");
                prop_assert!(saga.reason.is_some());
            }
            unended => prop_assert!(false, "did not end: {unended:?}"),
        }
        if free {
            let paying = ["authorize", "capture", "void"];
            prop_assert!(!world.commands.iter().any(|step| paying.contains(step)));
        }
    }
}
