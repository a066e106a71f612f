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
#[derive(Debug, Default)]
struct World {
    held: bool,
    consumed: bool,
    released: bool,
    authorized: bool,
    captured: bool,
    voided: bool,
    commands: Vec<&'static str>,
}

impl World {
    /// Does one command as its service would and gives the honest answer.
    fn obey(&mut self, step: &'static str) -> Verdict {
        self.commands.push(step);
        match step {
            "reserve" if self.released => Verdict::Refused(CancelReason::ReservationExpired),
            "reserve" => {
                self.held = !self.consumed;
                Verdict::Done
            }
            "authorize" if self.voided => Verdict::Refused(CancelReason::PaymentUnavailable),
            "authorize" => {
                self.authorized = true;
                Verdict::Done
            }
            "commit" if self.held || self.consumed => {
                (self.held, self.consumed) = (false, true);
                Verdict::Done
            }
            "commit" => Verdict::Refused(CancelReason::ReservationExpired),
            "capture" if self.authorized && !self.voided => {
                self.captured = true;
                Verdict::Done
            }
            "capture" => Verdict::Refused(CancelReason::PaymentFailed),
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
}

/// How one attempt goes.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    LostBeforeEffect,
    LostAfterEffect,
    Refused,
    Rejected,
}

fn fates() -> impl Strategy<Value = Vec<(Fate, u64)>> {
    let fate = prop_oneof![
        4 => Just(Fate::Answered),
        2 => Just(Fate::LostBeforeEffect),
        2 => Just(Fate::LostAfterEffect),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Rejected),
    ];
    prop::collection::vec((fate, 0_u64..8), 0..40)
}

proptest! {
    #[test]
    fn whatever_happens_it_ends_with_all_or_nothing(fates in fates(), free in any::<bool>()) {
        let mut saga = saga(free);
        let mut world = World::default();
        let mut now = START;
        let mut turned = false;
        // After the scripted troubles the world answers honestly; a saga must end then.
        let script = fates.into_iter().chain(std::iter::repeat_n((Fate::Answered, 0), 20));
        for (fate, seconds) in script {
            let Some((step, _)) = saga.current() else { break };
            now = now.plus(Duration::from_secs(seconds));
            let undoing = matches!(saga.position, Position::Backward(_));
            prop_assert!(!turned || undoing, "a saga that turned back went forward again");
            turned = undoing;
            let verdict = match fate {
                Fate::Answered => world.obey(step),
                Fate::LostBeforeEffect => Verdict::Unclear,
                Fate::LostAfterEffect => {
                    world.obey(step);
                    Verdict::Unclear
                }
                Fate::Refused if undoing => Verdict::Rejected,
                Fate::Refused if (step == "reserve" && world.held) || (step == "commit" && world.consumed)
                    || (step == "capture" && world.captured) || (step == "authorize" && world.authorized) =>
                    // A service that has done it does not refuse it afterwards.
                    world.obey(step),
                Fate::Refused => Verdict::Refused(CancelReason::OutOfStock),
                Fate::Rejected => Verdict::Rejected,
            };
            saga.settle(verdict, now);
        }
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

    #[test]
    fn every_undo_may_be_repeated(fates in fates(), repeats in 1_usize..4) {
        let mut saga = saga(false);
        let mut world = World::default();
        let late = START.plus(DEADLINE);
        for (fate, _) in fates.into_iter().chain(std::iter::repeat_n((Fate::Answered, 0), 20)) {
            let Some((step, _)) = saga.current() else { break };
            let verdict = match fate {
                Fate::Answered => (0..repeats).map(|_| world.obey(step)).last().unwrap_or(Verdict::Unclear),
                Fate::LostAfterEffect => {
                    world.obey(step);
                    Verdict::Unclear
                }
                _ => Verdict::Unclear,
            };
            saga.settle(verdict, late);
        }
        let nothing_left = !world.held && !world.consumed && !world.authorized && !world.captured;
        match saga.position {
            Position::Cancelled => prop_assert!(nothing_left, "{world:?}"),
            Position::Confirmed => prop_assert!(world.consumed && world.captured),
            unended => prop_assert!(false, "did not end: {unended:?}"),
        }
    }
}
