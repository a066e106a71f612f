//! The launcher with real processes in the place of the services.
//!
//! This program plays both parts: copied beside `maru` under the name of a service it is that
//! service; under its own name it runs the tests. That is why it has no standard test harness.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test program without the standard harness is not seen as one"
)]

#[path = "database.rs"]
mod database;
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

/// The part of the standard harness's command line that `cargo test` and `cargo nextest` use.
#[derive(Default)]
struct Options {
    list: bool,
    /// Only ignored tests are wanted, and there are none.
    ignored: bool,
    exact: bool,
    filters: Vec<String>,
}

impl Options {
    fn of_process() -> Self {
        let mut options = Self::default();
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => options.list = true,
                "--ignored" => options.ignored = true,
                "--exact" => options.exact = true,
                "--format" | "--test-threads" | "--color" | "-Z" => drop(arguments.next()),
                other if other.starts_with('-') => {}
                _ => options.filters.push(argument),
            }
        }
        options
    }

    fn choose(&self, name: &str) -> bool {
        let fits = |filter: &String| {
            if self.exact {
                filter == name
            } else {
                name.contains(filter.as_str())
            }
        };
        !self.ignored && (self.filters.is_empty() || self.filters.iter().any(fits))
    }
}

/// Runs the chosen scenarios, one after the other.
fn run_scenarios() -> ExitCode {
    let options = Options::of_process();
    let mut failed = 0;
    for (name, scenario) in scenarios::ALL {
        if !options.choose(name) {
            continue;
        }
        if options.list {
            println!("{name}: test");
            continue;
        }
        let outcome = std::thread::spawn(scenario).join();
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word}");
        failed += u8::from(outcome.is_err());
    }
    ExitCode::from(failed)
}
