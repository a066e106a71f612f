//! Asks instances how they are: one gateway of all asks, and each instance once, however many
//! workers and gateways there are. What it finds is written into the registry.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::error::ErrorChain;
use common::shutdown::Shutdown;
use resilience::Jitter;
use store::Leadership;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::book::{Registry, View};
use super::entry::{Check, CheckKind, CheckStatus};
use crate::directory::Address;
use crate::fetch::{FetchError, fetch};
use crate::settings::StatusSettings;
use crate::status::{ServiceStatus, Verdict, VerdictParams};

/// The job that one gateway holds.
const SEAT: &str = "registry-checks";
/// How often a gateway that does not hold it tries to.
const CANDIDACY: Duration = Duration::from_secs(1);
/// How often the holder makes sure that it still is.
const REASSURANCE: Duration = Duration::from_secs(5);
/// Longest wait for an answer when a check does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Service, instance and check.
type Key = (String, String, String);

/// Checks under way, with what they ask.
type Running = BTreeMap<Key, (Check, Task)>;

/// A check under way; it ends with this value.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Checks while this gateway is the one to do it, until `shutdown`.
pub(crate) async fn run(registry: Arc<Registry>, settings: StatusSettings, shutdown: Shutdown) {
    let candidate = async {
        loop {
            match registry.db().try_lead(SEAT).await {
                Ok(Some(mut seat)) => {
                    lead(&registry, &settings, &mut seat).await;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(error = %ErrorChain(&error), "no election of who checks");
                }
            }
            sleep(CANDIDACY).await;
        }
    };
    tokio::select! {
        () = candidate => {}
        () = shutdown.triggered() => {}
    }
}

/// Keeps one task for each check that stands in the registry, until the seat is lost.
async fn lead(registry: &Arc<Registry>, settings: &StatusSettings, seat: &mut Leadership) {
    let mut running = Running::new();
    let mut changes = registry.changes();
    let mut jitter = Jitter::from_entropy();
    loop {
        changes.mark_unchanged();
        align(registry, settings, &mut running, &mut jitter);
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = sleep(REASSURANCE) => if !seat.is_held().await { return },
        }
    }
}

/// Ends the tasks of checks that are gone or changed, and starts those that are new.
fn align(
    registry: &Arc<Registry>,
    settings: &StatusSettings,
    running: &mut Running,
    jitter: &mut Jitter,
) {
    let view = registry.view();
    let mut wanted = BTreeMap::new();
    for entry in &view.entries {
        for check in entry
            .checks
            .iter()
            .filter(|check| check.kind == CheckKind::Http)
        {
            let key = (
                entry.service.clone(),
                entry.instance_id.clone(),
                check.id.clone(),
            );
            wanted.insert(key, check.clone());
        }
    }
    running.retain(|key, (check, _)| {
        let wanted = wanted.get(key);
        wanted.is_some_and(|wanted| wanted.asks_the_same(check))
    });
    for (key, check) in wanted {
        if running.contains_key(&key) {
            continue;
        }
        let params = VerdictParams {
            rise: settings.rise,
            fall: settings.fall,
        };
        let task = watch(
            Arc::clone(registry),
            key.clone(),
            check.clone(),
            Verdict::from(status_of(check.status), params),
            (settings.max_body_bytes, jitter.split()),
        );
        let task = Task(tokio::spawn(task).abort_handle());
        running.insert(key, (check, task));
    }
}

async fn watch(
    registry: Arc<Registry>,
    key: Key,
    check: Check,
    mut verdict: Verdict,
    (max_bytes, mut jitter): (usize, Jitter),
) {
    let (service, id, check_id) = &key;
    let mut read_at = 0;
    let url = check.url.as_deref().unwrap_or_default();
    let Ok((address, path)) = Address::parse_with_path(url) else {
        return;
    };
    let address = address.guarded_by(&registry.guard);
    let path = if path.is_empty() {
        "/".to_owned()
    } else {
        path
    };
    // The first questions of many checks that begin together are spread a little.
    sleep(jitter.up_to(check.period.min(Duration::from_millis(100)))).await;
    loop {
        let view = registry.view();
        if view.index != read_at {
            read_at = view.index;
            // An instance that was registered anew starts over there, and nothing would ever be
            // written if what was found before it were still believed here.
            if let Some(status) = standing(&view, &key) {
                verdict.agree_with(status);
            }
        }
        let started = Instant::now();
        let wait = check.timeout.unwrap_or(DEFAULT_TIMEOUT);
        let (status, text) = ask(&address, &path, wait, max_bytes).await;
        let turned = verdict.observe(status != CheckStatus::Critical);
        if turned {
            let found = registry
                .found((service, id), check_id, (status, &text))
                .await;
            if let Err(error) = found {
                tracing::warn!(error = %ErrorChain(&error), "a check's verdict could not be stored");
                verdict.forget();
            }
        }
        // Nine tenths to eleven tenths of the period.
        let pause = check.period * 9 / 10 + jitter.up_to(check.period / 5);
        sleep(pause.saturating_sub(started.elapsed())).await;
    }
}

/// What the registry says of a check.
fn standing(view: &View, (service, id, check_id): &Key) -> Option<ServiceStatus> {
    let mut entries = view.of(service);
    let entry = entries.find(|entry| entry.instance_id == *id)?;
    let check = entry.checks.iter().find(|check| check.id == *check_id)?;
    Some(status_of(check.status))
}

/// Asks once. 2xx is good, 429 is good with a reservation, as Consul has it.
async fn ask(
    address: &Address,
    path: &str,
    wait: Duration,
    max_bytes: usize,
) -> (CheckStatus, String) {
    match fetch(address, path, wait, max_bytes).await {
        Ok(answer) => {
            let status = match answer.status {
                200..=299 => CheckStatus::Passing,
                429 => CheckStatus::Warning,
                _ => CheckStatus::Critical,
            };
            (status, format!("HTTP {}", answer.status))
        }
        Err(error) => {
            let text = match error {
                FetchError::Refused(_) => "no connection",
                FetchError::TimedOut => "no answer in time",
                FetchError::TooLarge => "the answer is too large",
                FetchError::Broken(_) => "the answer broke off",
            };
            (CheckStatus::Critical, text.to_owned())
        }
    }
}

const fn status_of(status: CheckStatus) -> ServiceStatus {
    match status {
        CheckStatus::Passing | CheckStatus::Warning => ServiceStatus::Healthy,
        CheckStatus::Unknown => ServiceStatus::Unknown,
        CheckStatus::Critical => ServiceStatus::Unhealthy,
    }
}
