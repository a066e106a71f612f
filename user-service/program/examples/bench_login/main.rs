//! What signing in and verifying tokens cost, against the goals. `bench/login` builds and runs it.
//!
//! Starts the user-service that it is given on a free port with an SQLite database of its own, and
//! measures: logins per second beside what `argon2` alone reaches on the same processors, in turns in
//! one run; 500 logins at once; how much longer a known account takes than an unknown one; tokens
//! verified per second on one processor; memory, idle and with 10,000 sessions.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

mod hashes;
mod logins;
mod server;
mod tokens;

use std::process::ExitCode;

use anyhow::Context as _;

/// One line of the table.
pub(crate) struct Row {
    what: String,
    goal: String,
    result: String,
    is_met: bool,
}

impl Row {
    pub(crate) fn new(
        what: impl Into<String>,
        goal: impl Into<String>,
        result: impl Into<String>,
        is_met: bool,
    ) -> Self {
        Self {
            what: what.into(),
            goal: goal.into(),
            result: result.into(),
            is_met,
        }
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let program = std::env::args().nth(1);
    let program = program.context("the path of the user-service to measure is missing")?;
    let mut rows = tokens::measure()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    rows.extend(runtime.block_on(logins::measure(&program))?);
    println!("{:<58} {:>18} {:>26}", "what", "goal", "result");
    for row in &rows {
        let mark = if row.is_met { "" } else { "  MISSED" };
        println!("{:<58} {:>18} {:>26}{mark}", row.what, row.goal, row.result);
    }
    let all_met = rows.iter().all(|row| row.is_met);
    Ok(if all_met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
