//! Days and nights of appliances, in no time.

use std::time::Duration;

use super::*;

const DAY_S: u64 = 86_400;

fn midnight() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

/// A reading every ten seconds for a day, with the hour it was taken at.
fn day_of(kind: Kind, seed: u64) -> Vec<(f64, f64, f64)> {
    let mut appliance = Appliance::new(kind, seed, 0, midnight());
    let seconds = (0..DAY_S).step_by(10);
    seconds
        .map(|second| {
            let now = midnight().plus(Duration::from_secs(second));
            let [(_, first), (_, other)] = appliance.read(now);
            (LocalTime::of(now, 0).hour(), first, other)
        })
        .collect()
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = f64::from(u32::try_from(values.len()).unwrap());
    values.sum::<f64>() / count
}

#[test]
fn every_kind_says_what_it_measures_in_which_unit() {
    for (kind, names) in [
        (Kind::Fridge, ["temperature_c", "door_open"]),
        (Kind::Freezer, ["temperature_c", "door_open"]),
        (Kind::Hvac, ["temperature_c", "setpoint_c"]),
        (Kind::EnergyMeter, ["power_w", "energy_wh"]),
    ] {
        let read = Appliance::new(kind, 1, 0, midnight()).read(midnight());
        assert_eq!(read.map(|(name, _)| name), names);
    }
}

#[test]
fn cold_appliances_stay_cold_through_the_day() {
    for seed in 0..20 {
        for (kind, setpoint, coldest, warmest) in [
            (Kind::Fridge, 3.5, 2.2, 7.5),
            (Kind::Freezer, -18.5, -19.8, -15.5),
        ] {
            let day = day_of(kind, seed);
            for &(hour, temperature, door) in &day {
                assert!(
                    (coldest..warmest).contains(&temperature),
                    "{kind:?} {seed}: {temperature} °C at {hour}"
                );
                assert!(door == 0.0 || door == 1.0);
                assert!(
                    door == 0.0 || (9.0..=23.02).contains(&hour),
                    "open at {hour}"
                );
            }
            let average = mean(day.iter().map(|&(_, temperature, _)| temperature));
            assert!(
                (average - setpoint).abs() < 0.5,
                "{kind:?} {seed}: {average} °C"
            );
            assert!(
                day.iter().any(|&(_, _, door)| door == 1.0),
                "{kind:?} {seed}"
            );
        }
    }
}

#[test]
fn a_compressor_runs_in_cycles_of_minutes() {
    for (design, cycles) in [(&FRIDGE, 40..110), (&FREEZER, 15..60)] {
        let mut cold = Cold::new(design, Xoshiro256PlusPlus::seed_from_u64(7));
        let start = LocalTime::of(midnight(), 0);
        let (mut starts, mut running_s, mut since_change_s) = (0, 0, 3_600);
        for second in 0..i64::try_from(DAY_S).unwrap() {
            let before = cold.compressor_runs();
            cold.step(start.later_by_seconds(second));
            running_s += u32::from(cold.compressor_runs());
            since_change_s += 1;
            if cold.compressor_runs() != before {
                assert!(since_change_s > 90, "changed after {since_change_s} s");
                since_change_s = 0;
                starts += i32::from(cold.compressor_runs());
            }
        }
        assert!(cycles.contains(&starts), "{starts} cycles");
        let share = f64::from(running_s) / 86_400.0;
        assert!((0.2..0.6).contains(&share), "runs {share} of the time");
    }
}

#[test]
fn a_room_is_warm_enough_for_guests_and_cools_down_at_night() {
    for seed in 0..20 {
        let day = day_of(Kind::Hvac, seed);
        for &(hour, temperature, setpoint) in &day {
            let open = (9.0..23.0).contains(&hour);
            assert_eq!(setpoint, if open { 21.0 } else { 18.0 }, "at {hour}");
            // An hour to warm up in the morning.
            if (10.0..23.0).contains(&hour) {
                assert!(
                    (20.3..21.7).contains(&temperature),
                    "{seed}: {temperature} at {hour}"
                );
            }
            assert!(
                (17.3..27.0).contains(&temperature),
                "{seed}: {temperature} at {hour}"
            );
        }
    }
}

#[test]
fn a_meter_counts_what_is_drawn_and_never_runs_backwards() {
    for seed in 0..20 {
        let day = day_of(Kind::EnergyMeter, seed);
        for pair in day.windows(2) {
            let (_, power_w, before_wh) = pair[0];
            let (_, _, after_wh) = pair[1];
            assert!((1_000.0..15_000.0).contains(&power_w), "{power_w} W");
            let drawn_wh = power_w * 10.0 / 3_600.0;
            let counted_wh = after_wh - before_wh;
            assert!(counted_wh > 0.0);
            assert!(
                (counted_wh - drawn_wh).abs() < 0.02 * drawn_wh + 0.02,
                "{pair:?}"
            );
        }
    }
}

#[test]
fn a_meter_goes_on_where_the_last_simulation_left_it() {
    let mut last = 0.0;
    for hours in [0, 1, 23, 24, 25, 1_000, 10_000] {
        let now = midnight().plus(Duration::from_secs(hours * 3_600));
        let [_, (_, energy_wh)] = Appliance::new(Kind::EnergyMeter, 3, 3_600, now).read(now);
        assert!(energy_wh > last, "{energy_wh} after {last}");
        last = energy_wh;
    }
}

#[test]
fn how_often_it_is_read_does_not_change_what_happens() {
    for kind in [Kind::Fridge, Kind::Hvac] {
        let end = midnight().plus(Duration::from_secs(5_000));
        let mut often = Appliance::new(kind, 9, 0, midnight());
        for second in 0..5_000 {
            often.read(midnight().plus(Duration::from_secs(second)));
        }
        let mut once = Appliance::new(kind, 9, 0, midnight());
        let [(_, often), _] = often.read(end);
        let [(_, once), _] = once.read(end);
        assert!((often - once).abs() <= 0.11, "{kind:?}: {often} and {once}");
    }
}

#[test]
fn the_seed_decides() {
    assert_eq!(day_of(Kind::Fridge, 5), day_of(Kind::Fridge, 5));
    assert_ne!(day_of(Kind::Fridge, 5), day_of(Kind::Fridge, 6));
}

#[test]
fn a_clock_that_jumps_is_survived() {
    let mut fridge = Appliance::new(Kind::Fridge, 1, 0, midnight());
    for days in [400, 0, 30] {
        let now = midnight().plus(Duration::from_secs(days * DAY_S));
        let [(_, temperature), _] = fridge.read(now);
        assert!((2.0..8.0).contains(&temperature), "{temperature}");
    }
}
