//! In virtual time: no test waits.

use super::*;
use tokio::time::advance;

const OPEN_FOR: Duration = Duration::from_secs(5);

fn breaker() -> Breaker {
    Breaker::try_new(
        "neighbour",
        BreakerParams {
            window: Duration::from_secs(10),
            min_calls: 4,
            failure_percent: 50,
            open_for: OPEN_FOR,
            half_open_probes: 2,
        },
    )
    .unwrap()
}

fn call(breaker: &Breaker, succeeds: bool) {
    let permit = breaker.try_acquire().expect("the call passes");
    if succeeds {
        permit.succeeded();
    } else {
        permit.failed();
    }
}

fn open(breaker: &Breaker) {
    for _ in 0..4 {
        call(breaker, false);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn nonsense_is_refused() {
    let good = BreakerParams::default();
    for params in [
        BreakerParams {
            window: Duration::ZERO,
            ..good
        },
        BreakerParams {
            min_calls: 0,
            ..good
        },
        BreakerParams {
            failure_percent: 0,
            ..good
        },
        BreakerParams {
            failure_percent: 101,
            ..good
        },
        BreakerParams {
            open_for: Duration::ZERO,
            ..good
        },
        BreakerParams {
            half_open_probes: 0,
            ..good
        },
    ] {
        assert!(Breaker::try_new("x", params).is_err(), "{params:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_opens_at_the_ratio_but_not_below_the_volume() {
    let breaker = breaker();
    for _ in 0..3 {
        call(&breaker, false);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    call(&breaker, true);
    assert_eq!(breaker.state(), BreakerState::Open);
    let refused = breaker.try_acquire().unwrap_err();
    assert_eq!(refused.retry_after, OPEN_FOR);
}

#[tokio::test(start_paused = true)]
async fn failures_below_the_ratio_keep_it_closed() {
    let breaker = breaker();
    for number in 0..100 {
        call(&breaker, number % 5 != 0);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn old_failures_leave_the_window() {
    let breaker = breaker();
    for _ in 0..3 {
        call(&breaker, false);
    }
    advance(Duration::from_secs(11)).await;
    call(&breaker, false);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn exactly_n_probes_pass_and_their_success_closes_it() {
    let breaker = breaker();
    open(&breaker);
    advance(OPEN_FOR).await;
    let first = breaker.try_acquire().unwrap();
    let second = breaker.try_acquire().unwrap();
    assert!(breaker.try_acquire().is_err());
    first.succeeded();
    assert!(
        breaker.try_acquire().is_err(),
        "a success frees no third probe"
    );
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    second.succeeded();
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn one_failed_probe_opens_it_again_for_the_whole_time() {
    let breaker = breaker();
    open(&breaker);
    advance(OPEN_FOR).await;
    let late = breaker.try_acquire().unwrap();
    call(&breaker, false);
    assert_eq!(breaker.state(), BreakerState::Open);
    late.succeeded();
    assert_eq!(
        breaker.state(),
        BreakerState::Open,
        "an old verdict counts for nothing"
    );
    advance(OPEN_FOR - Duration::from_millis(1)).await;
    assert!(breaker.try_acquire().is_err());
    advance(Duration::from_millis(1)).await;
    assert!(breaker.try_acquire().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_probe_gives_its_place_back() {
    let breaker = breaker();
    open(&breaker);
    advance(OPEN_FOR).await;
    let probe = tokio::spawn({
        let breaker = breaker.clone();
        async move {
            let _first = breaker.try_acquire().unwrap();
            let _second = breaker.try_acquire().unwrap();
            std::future::pending::<()>().await;
        }
    });
    tokio::task::yield_now().await;
    assert!(breaker.try_acquire().is_err());
    probe.abort();
    assert!(probe.await.unwrap_err().is_cancelled());
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    call(&breaker, true);
    call(&breaker, true);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_permit_from_before_the_opening_does_not_reach_the_half_open_state() {
    let breaker = breaker();
    let old = breaker.try_acquire().unwrap();
    open(&breaker);
    advance(OPEN_FOR).await;
    let probe = breaker.try_acquire().unwrap();
    old.failed();
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    probe.succeeded();
    call(&breaker, true);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn word_that_the_neighbour_is_back_lets_the_probes_through_at_once() {
    let breaker = breaker();
    open(&breaker);
    assert!(breaker.try_acquire().is_err());
    breaker.probe_now();
    let permits = [(); 2].map(|()| breaker.try_acquire().expect("a probe passes"));
    assert!(permits.iter().all(Permit::is_probe));
    assert!(breaker.try_acquire().is_err(), "no more than the probes");
    for permit in permits {
        permit.succeeded();
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert!(!breaker.try_acquire().expect("it passes").is_probe());
    breaker.probe_now();
    assert_eq!(breaker.state(), BreakerState::Closed);
}
