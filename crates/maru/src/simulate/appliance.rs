//! What an appliance measures: simple physics in virtual time.
//!
//! An appliance is a pure function of its seed and the moments it is read at. It moves in steps of
//! one second of absolute time, so how often it is read changes nothing but the noise of its
//! sensors.

mod cold;
mod day;
mod meter;
mod room;

use common::time::Timestamp;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;

use cold::{Cold, FREEZER, FRIDGE};
use day::LocalTime;
use meter::Meter;
use room::Room;

/// What a device is, as the API spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Fridge,
    Freezer,
    Hvac,
    EnergyMeter,
}

impl Kind {
    /// For people.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Fridge => "fridge",
            Self::Freezer => "freezer",
            Self::Hvac => "air conditioning",
            Self::EnergyMeter => "energy meter",
        }
    }
}

/// A metric, named with its unit, and its value.
pub(super) type Metric = (&'static str, f64);

/// An appliance with its sensors.
#[derive(Debug)]
pub(super) struct Appliance {
    model: Model,
    /// Until when the model has been brought.
    at: LocalTime,
    offset_s: i32,
    noise: Xoshiro256PlusPlus,
}

#[derive(Debug)]
enum Model {
    Cold(Cold),
    Room(Room),
    Meter(Meter),
}

/// After a longer gap, such as a laptop's sleep, an appliance goes on from where it was.
const LONGEST_GAP_S: i64 = 6 * 3_600;
/// How long an appliance has been running when it is first read: no two start alike.
const WARM_UP_S: std::ops::Range<i64> = 3_600..7_200;

impl Appliance {
    /// An appliance that has been running for a while at `now`, `offset_s` seconds east of
    /// Greenwich.
    pub(super) fn new(kind: Kind, seed: u64, offset_s: i32, now: Timestamp) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let now = LocalTime::of(now, offset_s);
        let at = now.earlier_by_seconds(rng.random_range(WARM_UP_S));
        let noise = Xoshiro256PlusPlus::seed_from_u64(rng.random());
        let model = match kind {
            Kind::Fridge => Model::Cold(Cold::new(&FRIDGE, rng)),
            Kind::Freezer => Model::Cold(Cold::new(&FREEZER, rng)),
            Kind::Hvac => Model::Room(Room::new(rng)),
            Kind::EnergyMeter => Model::Meter(Meter::new(rng)),
        };
        let mut appliance = Self {
            model,
            at,
            offset_s,
            noise,
        };
        appliance.bring_to(now);
        appliance
    }

    /// What the sensors show at `now`.
    pub(super) fn read(&mut self, now: Timestamp) -> [Metric; 2] {
        self.bring_to(LocalTime::of(now, self.offset_s));
        let noise = &mut self.noise;
        match &self.model {
            Model::Cold(cold) => [
                (
                    "temperature_c",
                    rounded(cold.temperature_c() + noisy(noise, 0.05), 100.0),
                ),
                ("door_open", f64::from(u8::from(cold.door_is_open()))),
            ],
            Model::Room(room) => [
                (
                    "temperature_c",
                    rounded(room.temperature_c() + noisy(noise, 0.05), 100.0),
                ),
                ("setpoint_c", Room::setpoint_c(self.at)),
            ],
            Model::Meter(meter) => {
                let power_w = meter.power_w(self.at) * (1.0 + noisy(noise, 0.01));
                [
                    ("power_w", rounded(power_w, 10.0)),
                    ("energy_wh", rounded(meter.energy_wh(self.at), 100.0)),
                ]
            }
        }
    }

    fn bring_to(&mut self, now: LocalTime) {
        let missing = now.whole_seconds() - self.at.whole_seconds();
        if (1..=LONGEST_GAP_S).contains(&missing) {
            for second in 1..=missing {
                let then = self.at.later_by_seconds(second);
                match &mut self.model {
                    Model::Cold(cold) => cold.step(then),
                    Model::Room(room) => room.step(then),
                    // A function of time alone.
                    Model::Meter(_) => break,
                }
            }
        }
        self.at = now;
    }
}

/// Up to `amplitude` more or less, evenly spread.
fn noisy(rng: &mut Xoshiro256PlusPlus, amplitude: f64) -> f64 {
    rng.random_range(-amplitude..=amplitude)
}

/// To a whole number of parts of 1.
fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

#[cfg(test)]
mod tests;
