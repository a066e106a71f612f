//! A guest room with its air conditioning.

use std::f64::consts::TAU;

use rand::RngExt as _;
use rand::rngs::Xoshiro256PlusPlus;

use super::day::LocalTime;

/// Wanted while guests are there, and before they come.
const DAY_SETPOINT_C: f64 = 21.0;
/// Kept at least at night.
const NIGHT_SETPOINT_C: f64 = 18.0;
/// At night the unit cools only above this.
const NIGHT_MAXIMUM_C: f64 = 26.0;
/// The unit starts this far from the set point and stops at it.
const HYSTERESIS_C: f64 = 0.5;
/// Heating and cooling power, in degrees per second.
const POWER_C_PER_S: f64 = 0.001_5;
/// The room follows the weather with this time constant, in seconds.
const TIME_CONSTANT_S: f64 = 6.0 * 3_600.0;
/// What guests, lamps and ovens add, in degrees per second.
const INNER_HEAT_C_PER_S: f64 = 0.000_4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Idle,
    Heating,
    Cooling,
}

/// A room.
#[derive(Debug)]
pub(super) struct Room {
    temperature_c: f64,
    mode: Mode,
    /// Mean of the day outside.
    climate_c: f64,
}

impl Room {
    /// A comfortable room in some climate.
    pub(super) fn new(mut rng: Xoshiro256PlusPlus) -> Self {
        Self {
            temperature_c: 20.0,
            mode: Mode::Idle,
            climate_c: rng.random_range(8.0..22.0),
        }
    }

    /// Lets one second pass, until `now`.
    pub(super) fn step(&mut self, now: LocalTime) {
        self.temperature_c += (self.outside_c(now) - self.temperature_c) / TIME_CONSTANT_S;
        if now.is_open() {
            self.temperature_c += INNER_HEAT_C_PER_S;
        }
        let (low, high) = if now.is_open() {
            (DAY_SETPOINT_C, DAY_SETPOINT_C)
        } else {
            (NIGHT_SETPOINT_C, NIGHT_MAXIMUM_C)
        };
        self.mode = match self.mode {
            Mode::Heating if self.temperature_c < low => Mode::Heating,
            Mode::Cooling if self.temperature_c > high => Mode::Cooling,
            _ if self.temperature_c < low - HYSTERESIS_C => Mode::Heating,
            _ if self.temperature_c > high + HYSTERESIS_C => Mode::Cooling,
            _ => Mode::Idle,
        };
        self.temperature_c += match self.mode {
            Mode::Idle => 0.0,
            Mode::Heating => POWER_C_PER_S,
            Mode::Cooling => -POWER_C_PER_S,
        };
    }

    pub(super) const fn temperature_c(&self) -> f64 {
        self.temperature_c
    }

    /// What the unit is set to.
    pub(super) fn setpoint_c(now: LocalTime) -> f64 {
        if now.is_open() {
            DAY_SETPOINT_C
        } else {
            NIGHT_SETPOINT_C
        }
    }

    /// A sine over the day: coldest at 4, warmest at 16 o'clock.
    fn outside_c(&self, now: LocalTime) -> f64 {
        self.climate_c + 7.0 * ((now.hour() - 10.0) / 24.0 * TAU).sin()
    }
}
