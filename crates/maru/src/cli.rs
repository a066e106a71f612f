//! The command line: which commands there are. What each one does lives in its own module.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{config, demo, gateway, import, replay, simulate, status, top, up, verify};

/// Maru: the operations backend of a chain of restaurants and stores.
#[derive(Debug, Parser)]
#[command(name = "maru", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What `maru` can do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Start every service and keep it running until a signal comes
    Up(up::UpArgs),
    /// Show how each service does, as the gateway sees it
    Status(status::StatusArgs),
    /// Show live what passes through the gateway, and how the services behind it do
    Top(top::TopArgs),
    /// Print every setting of the services with its value, default, unit and source
    Config(config::ConfigArgs),
    /// Check the invariants of the running system against its databases
    Verify(verify::VerifyArgs),
    /// Load another system's exports through the gateway
    Import(import::ImportArgs),
    /// Create demo stock and devices
    Demo(demo::DemoArgs),
    /// Place imported orders again, as live ones
    Replay(replay::ReplayArgs),
    /// Check the gateway's routing file, or make one of another gateway's
    Gateway(gateway::GatewayArgs),
    /// Play devices that publish readings over MQTT
    Simulate(simulate::SimulateArgs),
}

/// Runs the chosen command. An error is said in one line on standard error and ends with 1.
pub async fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Up(args) => Box::pin(up::run(args)).await,
        Command::Status(args) => Box::pin(status::run(args)).await,
        Command::Top(args) => Box::pin(top::run(args)).await,
        Command::Config(args) => Box::pin(config::run(args)).await,
        Command::Verify(args) => Box::pin(verify::run(args)).await,
        Command::Import(args) => Box::pin(import::run(args)).await,
        Command::Demo(args) => Box::pin(demo::run(args)).await,
        Command::Replay(args) => Box::pin(replay::run(args)).await,
        Command::Gateway(args) => Box::pin(gateway::run(args)).await,
        Command::Simulate(args) => Box::pin(simulate::run(args)).await,
    };
    outcome.unwrap_or_else(|error| {
        crate::output::complain(format_args!("maru: {error:#}"));
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
