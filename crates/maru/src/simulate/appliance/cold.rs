//! Fridges and freezers: Newton's law of cooling, a thermostat with hysteresis, and a door.

use rand::RngExt as _;
use rand::rngs::Xoshiro256PlusPlus;

use super::day::LocalTime;

/// How a kind of cold appliance behaves.
#[derive(Debug)]
pub(super) struct Design {
    setpoint_c: f64,
    /// The compressor runs from this much above the set point to this much below.
    hysteresis_c: f64,
    /// Warms towards the room with this time constant while the door is closed, in seconds.
    closed_time_constant_s: f64,
    /// And with this one while it is open.
    open_time_constant_s: f64,
    /// What a running compressor takes away, in degrees per second.
    cooling_c_per_s: f64,
    /// Per hour, while the store is open.
    door_openings_per_hour: f64,
}

/// Warms from 2.5 to 4.5 °C in about twenty minutes and cools back in ten.
pub(super) const FRIDGE: Design = Design {
    setpoint_c: 3.5,
    hysteresis_c: 1.0,
    closed_time_constant_s: 3.0 * 3_600.0,
    open_time_constant_s: 900.0,
    cooling_c_per_s: 0.005,
    door_openings_per_hour: 8.0,
};

/// Better insulated, opened less.
pub(super) const FREEZER: Design = Design {
    setpoint_c: -18.5,
    hysteresis_c: 1.0,
    closed_time_constant_s: 8.0 * 3_600.0,
    open_time_constant_s: 1_800.0,
    cooling_c_per_s: 0.004,
    door_openings_per_hour: 2.0,
};

/// The room around it.
const AMBIENT_C: f64 = 22.0;
/// How long somebody stands at an open door, in seconds.
const DOOR_OPEN_S: std::ops::RangeInclusive<u32> = 5..=40;

/// A fridge or a freezer.
#[derive(Debug)]
pub(super) struct Cold {
    design: &'static Design,
    temperature_c: f64,
    compressor_runs: bool,
    /// Seconds until the door is closed again.
    door_open_s: u32,
    rng: Xoshiro256PlusPlus,
}

impl Cold {
    /// At its set point, with the door closed.
    pub(super) fn new(design: &'static Design, mut rng: Xoshiro256PlusPlus) -> Self {
        Self {
            design,
            temperature_c: design.setpoint_c,
            compressor_runs: rng.random(),
            door_open_s: 0,
            rng,
        }
    }

    /// Lets one second pass, until `now`.
    pub(super) fn step(&mut self, now: LocalTime) {
        let design = self.design;
        self.door_open_s = self.door_open_s.saturating_sub(1);
        let opens = self
            .rng
            .random_bool(design.door_openings_per_hour / 3_600.0);
        if opens && now.is_open() && !self.door_is_open() {
            self.door_open_s = self.rng.random_range(DOOR_OPEN_S);
        }
        let time_constant_s = if self.door_is_open() {
            design.open_time_constant_s
        } else {
            design.closed_time_constant_s
        };
        self.temperature_c += (AMBIENT_C - self.temperature_c) / time_constant_s;
        if self.temperature_c > design.setpoint_c + design.hysteresis_c {
            self.compressor_runs = true;
        } else if self.temperature_c < design.setpoint_c - design.hysteresis_c {
            self.compressor_runs = false;
        }
        if self.compressor_runs {
            self.temperature_c -= design.cooling_c_per_s;
        }
    }

    pub(super) const fn temperature_c(&self) -> f64 {
        self.temperature_c
    }

    pub(super) const fn door_is_open(&self) -> bool {
        self.door_open_s > 0
    }

    #[cfg(test)]
    pub(super) const fn compressor_runs(&self) -> bool {
        self.compressor_runs
    }
}
