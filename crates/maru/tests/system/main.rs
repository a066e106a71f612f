//! The whole system from outside: real binaries, started by the launcher, used through the gateway.
//!
//! Runs on the profile of `MARU_TEST_PROFILE`, like every suite. It needs the services' binaries
//! beside `maru`: `cargo build --workspace --bins`.

#[cfg(test)]
mod buyers;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod system;
#[cfg(test)]
mod walk;
