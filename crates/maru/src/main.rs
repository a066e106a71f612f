//! The `maru` command. Everything it does lives in the library: see [`maru::cli`].

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    maru::cli::run(maru::cli::Cli::parse()).await
}
