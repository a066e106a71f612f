//! Choosing an instance for a request: how fast and how loaded each one is, which are left alone for
//! a while, and how the rest share the traffic. Everything here is a set of parameters and a small
//! state machine that knows nothing of HTTP or the registry.

mod choice;
mod dice;
mod ewma;
mod outlier;
mod ring;

pub(crate) use choice::{Balance, Candidate, Chooser};
pub(crate) use dice::{Dice, hash};
pub(crate) use ewma::{EwmaParams, PeakEwma};
pub(crate) use outlier::{Fault, Outlier, OutlierParams};
pub(crate) use ring::Ring;
