//! The launcher with real processes in the place of the services.
//!
//! This program plays both parts: copied beside `maru` under the name of a service it is that
//! service; under its own name it runs the tests. That is why it has no standard test harness.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test program without the standard harness is not seen as one"
)]

#[path = "fake_service.rs"]
mod fake_service;
#[path = "launcher.rs"]
mod launcher;
#[path = "scenarios.rs"]
mod scenarios;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let own = std::env::args().next().unwrap_or_default();
    let name = Path::new(&own).file_stem().and_then(|name| name.to_str());
    if let Some(service) = name.and_then(|name| name.strip_suffix("-service")) {
        return fake_service::run(service);
    }
    run_scenarios()
}

/// Runs the scenarios whose names contain the first free argument, one after the other.
fn run_scenarios() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let listing = arguments.iter().any(|argument| argument == "--list");
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let chosen = scenarios::ALL.iter().filter(|(name, _)| {
        filter.is_none_or(|filter| format!("up::{name}").contains(filter.as_str()))
    });
    let mut failed = 0;
    for (name, scenario) in chosen {
        if listing {
            println!("{name}: test");
            continue;
        }
        let outcome = std::thread::spawn(scenario).join();
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("test up::{name} ... {word}");
        failed += u8::from(outcome.is_err());
    }
    ExitCode::from(failed)
}
