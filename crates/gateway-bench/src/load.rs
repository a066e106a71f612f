//! Loads to measure a gateway under, one file each. Each ends by itself and says whether its goals were
//! met.

mod answer;
mod backend;
mod bodies;
mod client;
mod closes;
mod even;
mod idle;
mod latency;
mod nginx;
mod slow;
mod sockets;
mod stop;

use std::net::SocketAddr;

pub use bodies::bodies;
pub use closes::closes;
pub use idle::idle;
pub use latency::latency;
pub use slow::slow;
pub use sockets::sockets;
pub use stop::stop;

use crate::process::Gateway;

/// How long or how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// As the goals say.
    Full,
    /// To see whether it works.
    Short,
}

impl Size {
    const fn of<T: Copy>(self, full: T, short: T) -> T {
        match self {
            Self::Full => full,
            Self::Short => short,
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What it should be; empty where there is no goal.
    pub goal: String,
    /// What it was.
    pub result: String,
    /// Whether that is good enough.
    pub is_met: bool,
}

impl Row {
    fn new(what: &str, goal: &str, result: String, is_met: bool) -> Self {
        Self {
            what: what.to_owned(),
            goal: goal.to_owned(),
            result,
            is_met,
        }
    }
}

/// Routes with a rate limit, which nobody reaches, and cross-origin rules; the breaker, metrics and the
/// access log are on anyway.
const ROUTES: &str = "
[[rate_limits]]
name = \"per-client\"
by = \"address\"
requests = 1000000000
window_seconds = 1
burst = 1000000000

[[routes]]
prefix = \"/api/orders\"
service = \"order\"
rate_limits = [\"per-client\"]
websocket = true
max_body_bytes = 1099511627776
";

/// A gateway with these routes before a service.
async fn start(
    program: &str,
    service: SocketAddr,
    settings: &[(&str, String)],
) -> anyhow::Result<(Gateway, tempfile::NamedTempFile)> {
    let routes = tempfile::NamedTempFile::new()?;
    std::fs::write(routes.path(), ROUTES)?;
    let file = routes.path().display().to_string();
    let all = std::iter::once(("GATEWAY__ROUTING__FILE", file));
    let all: Vec<_> = all.chain(settings.iter().cloned()).collect();
    Ok((Gateway::start(program, service, &all).await?, routes))
}

/// In whole MiB and a tenth.
fn mib(kib: u64) -> String {
    format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024)
}

/// A service that answers at once, for as long as this process lives; tells its port first.
///
/// # Errors
/// When there is no free port.
pub async fn serve(tell: impl FnOnce(u16)) -> anyhow::Result<()> {
    let backend = backend::Backend::start().await?;
    tell(backend.address().port());
    std::future::pending().await
}

/// Asks for a path at an even rate; how many answers came, and how many did not.
///
/// # Errors
/// When a client fails otherwise than by an answer.
pub async fn ask(
    port: u16,
    path: &str,
    per_second: f64,
    seconds: u64,
) -> anyhow::Result<(u64, u64)> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\n\r\n");
    let load = even::Load {
        address,
        request: request.into_bytes().into(),
        clients: 32,
    };
    let seen = load
        .at_rate(per_second, std::time::Duration::from_secs(seconds))
        .await?;
    Ok((seen.times.len(), seen.failures))
}
