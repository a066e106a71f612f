//! `maru up`: starts every service on this machine, keeps each running, and stops all in good order.
//!
//! It decides where everything is ([`layout`]), refuses to start into a fault that it can name
//! ([`preflight`]), and supervises one process per service ([`fleet`]). It does no business of its
//! own: whatever it passes on, a service could also be given by hand.

pub mod database;
mod environment;
pub mod fleet;
pub mod layout;
pub mod leftovers;
pub mod logs;
pub mod port_owner;
pub mod preflight;
pub mod process;
pub mod ready;
pub mod report;
pub mod restart;
pub mod secrets;
pub mod signals;
pub mod supervisor;
pub mod variables;

use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use contracts::services::ServiceName;

use crate::client::{ClientError, Gateway, GatewayArgs};
use crate::output::{complain, say};
use crate::status;
use database::SchemaPolicy;
use fleet::{Fleet, LogView};
use layout::{Layout, LayoutOptions};
use preflight::{DataLock, Folders};
use secrets::{Owner, OwnerPassword, RootSecret};
use signals::Signals;
use variables::Variables;

/// A second signal this soon after the first is its echo: a wrapper such as `timeout` passes on what
/// the terminal had sent to all.
const ECHO_WINDOW: Duration = Duration::from_millis(500);

/// How long the gateway may take to see that all are ready; the start goes on without it.
const SETTLING: Duration = Duration::from_secs(5);

/// What `maru up` can be told. Everything else comes from the environment: `MARU_DATA`,
/// `DATABASE_URL`, `REDIS_URL`, `AMQP_URL`, `MQTT_URL`, `MARU_PROFILE` and the services' own settings.
#[derive(Clone, Debug, clap::Args)]
pub struct UpArgs {
    /// Start only these services, such as `user,order`
    #[arg(long, value_delimiter = ',', value_name = "SERVICES")]
    pub only: Vec<ServiceName>,
    /// Count all ports from this one instead of 5000, or `auto` to find free ones
    #[arg(long, value_name = "PORT|auto")]
    pub port_base: Option<PortBase>,
    /// With one PostgreSQL database in `DATABASE_URL`: give each service a schema of its own in it
    #[arg(long)]
    pub create_schemas: bool,
    /// Print what the services log, too
    #[arg(long)]
    pub foreground_logs: bool,
    /// How long the services may take to become ready, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub ready_timeout: u64,
}

/// Where the ports of the system begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortBase {
    /// At this port.
    At(u16),
    /// Somewhere free.
    Auto,
}

impl FromStr for PortBase {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "auto" => Ok(Self::Auto),
            Ok(port) if port > 0 => Ok(Self::At(port)),
            _ => Err("give a port from 1 to 65335, or auto".to_owned()),
        }
    }
}

/// Starts the system and comes back when it was stopped: 0 after a signal.
///
/// # Errors
/// When something is missing, a port is taken, or a service does not become ready.
pub async fn run(args: UpArgs) -> Result<ExitCode> {
    let variables = Variables::of_process();
    let services = chosen(&args.only);
    let programs = preflight::find_binaries(&services)?;
    let layout = Layout::resolve(&variables, &layout_options(&args, &variables)?)?;
    let folders = Folders::prepare(&layout.data)?;
    let _lock = DataLock::take(&folders.run)?;
    leftovers::end(&layout.data, &folders.run).await?;
    preflight::check_ports(&layout, &services)?;
    layout.databases.create_schemas(&services).await?;
    let root = RootSecret::obtain(&variables, &folders.keys)?;
    let owner = Owner::obtain(&variables, &folders.keys)?;
    let mut signals = Signals::listen().context("cannot listen for signals")?;

    say(report::heading(&layout, services.len()));
    let environment = environment::Environment {
        inherited: &variables,
        started: &services,
        layout: &layout,
        root: &root,
        owner: &owner,
    };
    let launches = services
        .iter()
        .map(|&service| fleet::Launch {
            service,
            program: preflight::executable(&programs, service.binary()),
            set: environment.variables_of(service),
            unset: environment.hidden_from(service),
        })
        .collect();
    let logs = if args.foreground_logs {
        LogView::Terminal
    } else {
        LogView::Files
    };
    let fleet = Fleet::start(&layout, &folders, launches, logs);
    let limit = Duration::from_secs(args.ready_timeout);
    let started = tokio::select! {
        ready = ready(&fleet, &layout, limit) => ready,
        () = signals.next() => return Ok(stop(fleet, &mut signals).await),
    };
    let started = match started {
        Ok(()) => welcome(&layout, &folders, &fleet, &owner).await,
        failed => failed,
    };
    if started.is_ok() {
        signals.next().await;
    }
    report::remove_system_file(&folders);
    let code = stop(fleet, &mut signals).await;
    started.map(|()| code)
}

/// Waits for the services and, when all of them were started, for the gateway to see them: it has yet
/// to look at those that came after it.
async fn ready(fleet: &Fleet, layout: &Layout, limit: Duration) -> Result<()> {
    fleet.ready(limit).await?;
    if fleet.running().len() == ServiceName::all().count() {
        status::until_healthy(&layout.http_url(ServiceName::Gateway), SETTLING).await;
    }
    Ok(())
}

fn chosen(only: &[ServiceName]) -> Vec<ServiceName> {
    ServiceName::all()
        .filter(|service| only.is_empty() || only.contains(service))
        .collect()
}

fn layout_options(args: &UpArgs, variables: &Variables) -> Result<LayoutOptions> {
    let port_base = match args.port_base {
        None => None,
        Some(PortBase::At(port)) => Some(port),
        Some(PortBase::Auto) => {
            let bind = variables.get("MARU_BIND").unwrap_or("127.0.0.1");
            Some(preflight::free_port_base(bind)?)
        }
    };
    let schemas = if args.create_schemas {
        SchemaPolicy::Divide
    } else {
        SchemaPolicy::Refuse
    };
    ensure!(
        schemas == SchemaPolicy::Refuse || variables.get("DATABASE_URL").is_some(),
        "--create-schemas needs DATABASE_URL"
    );
    Ok(LayoutOptions { port_base, schemas })
}

/// Says what runs where and how to sign in, and remembers that it did.
async fn welcome(layout: &Layout, folders: &Folders, fleet: &Fleet, owner: &Owner) -> Result<()> {
    let running = fleet.running();
    report::write_system_file(layout, folders, &running)?;
    say(report::table(layout, &running));
    for line in report::addresses(layout, &running) {
        say(line);
    }
    if running.iter().any(|one| one.service == ServiceName::User) {
        say(sign_in(layout, owner).await);
        owner.remember()?;
    }
    say("Press Ctrl-C to stop.");
    Ok(())
}

/// How to sign in. A generated password is tried first, because a database that was there before
/// has an owner with another.
async fn sign_in(layout: &Layout, owner: &Owner) -> String {
    let email = &owner.email;
    let Some(OwnerPassword::Generated(password)) = &owner.password else {
        return format!("Sign in as {email}.");
    };
    let account = GatewayArgs {
        gateway: layout.http_url(ServiceName::User),
        email: email.clone(),
        password: Some(password.clone()),
        code: None,
    };
    let tried = match Gateway::new(&account) {
        Ok(gateway) => gateway.log_in().await,
        Err(error) => Err(error),
    };
    if let Err(ClientError::LoginRefused { .. }) = tried {
        return format!("Sign in as {email} with the password it has in this database.");
    }
    format!(
        "Sign in as {email} with the password {}\nIt was generated and is shown this once.",
        secrecy::ExposeSecret::expose_secret(password)
    )
}

async fn stop(fleet: Fleet, signals: &mut Signals) -> ExitCode {
    say("stopping");
    let killed = fleet.stop(signals.next_after(ECHO_WINDOW)).await;
    if killed.is_empty() {
        say("stopped");
    } else {
        complain(format_args!(
            "stopped; had to be killed: {}",
            killed.join(", ")
        ));
    }
    ExitCode::SUCCESS
}
