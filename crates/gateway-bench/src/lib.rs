//! Shows what a running gateway holds to: a fuzzer of its request parser, a comparison of what goes in
//! with what comes out, and loads to measure it under. The tests of gateway-service run the first two
//! in small; `bench/gateway` runs all of it. Never part of a running system.
#![expect(
    clippy::indexing_slicing,
    reason = "a program that checks another one may end with a panic"
)]

pub mod bare;
pub mod fuzz;
pub mod load;
pub mod process;
pub mod recorder;
pub mod rng;
pub mod transparency;
pub mod wire;
