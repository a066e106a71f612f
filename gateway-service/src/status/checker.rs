//! Asks every service how it is, again and again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::health::{HealthReport, Status};
use common::shutdown::Shutdown;
use futures_util::future::join_all;
use resilience::Jitter;
use tokio::time::sleep;

use super::board::{Board, Finding};
use super::verdict::{ServiceStatus, Verdict, VerdictParams};
use crate::directory::{Address, Directory, Service};
use crate::fetch::{FetchError, Fetched, fetch};
use crate::settings::{StatusSettings, millis};

/// Starts one checker for each service; they end with `shutdown`.
pub(crate) fn run(
    directory: &Directory,
    board: &Arc<Board>,
    settings: &StatusSettings,
    shutdown: &Shutdown,
) {
    let mut jitter = Jitter::from_entropy();
    for service in directory.fixed() {
        let (service, board) = (Arc::clone(service), Arc::clone(board));
        let (settings, shutdown) = (settings.clone(), shutdown.clone());
        let jitter = jitter.split();
        tokio::spawn(async move {
            tokio::select! {
                () = watch(&service, &board, &settings, jitter) => {}
                () = shutdown.triggered() => {}
            }
        });
    }
}

async fn watch(service: &Service, board: &Board, settings: &StatusSettings, mut jitter: Jitter) {
    let params = VerdictParams {
        rise: settings.rise,
        fall: settings.fall,
    };
    let mut verdicts: BTreeMap<String, Verdict> = BTreeMap::new();
    loop {
        let started = Instant::now();
        let finding = check_all(service, settings, params, &mut verdicts).await;
        let status = board.write(service, finding, started.elapsed());
        let interval = match status {
            ServiceStatus::Healthy => millis(settings.interval_ms),
            // One that is away is expected back: its return should be seen soon.
            _ => millis(settings.interval_ms) / 4,
        };
        // Nine tenths to eleven tenths of the interval: replicas do not ask in step.
        let pause = interval * 9 / 10 + jitter.up_to(interval / 5);
        tokio::select! {
            () = sleep(pause.saturating_sub(started.elapsed())) => {}
            // Whoever has just registered is ready; nobody should hear otherwise until then.
            () = service.arrival() => {}
        }
    }
}

/// Checks every instance of a service, and gives the best that was found. An instance that says
/// itself that it cannot work is not asked to.
async fn check_all(
    service: &Service,
    settings: &StatusSettings,
    params: VerdictParams,
    verdicts: &mut BTreeMap<String, Verdict>,
) -> Finding {
    let instances = service.instances();
    let checks = instances
        .iter()
        .map(|instance| check(instance.address(), settings));
    let findings = join_all(checks).await;
    verdicts.retain(|id, _| instances.iter().any(|instance| instance.id() == id));
    let mut best = None;
    for (instance, finding) in instances.iter().zip(findings) {
        let verdict = verdicts.entry(instance.id().to_owned());
        let verdict = verdict.or_insert_with(|| Verdict::new(params));
        verdict.observe(matches!(finding, Finding::Good { .. }));
        let refuses = matches!(finding, Finding::Refuses { .. });
        instance.set_refuses_work(refuses && verdict.status() == ServiceStatus::Unhealthy);
        let better = match (&best, &finding) {
            (None, _) | (Some(Finding::Silent { .. }), Finding::Refuses { .. }) => true,
            (Some(Finding::Good { .. }), _) => false,
            (Some(_), finding) => matches!(finding, Finding::Good { .. }),
        };
        if better {
            best = Some(finding);
        }
    }
    best.unwrap_or_else(|| Finding::Silent {
        detail: "there is no instance".to_owned(),
    })
}

async fn check(address: &Address, settings: &StatusSettings) -> Finding {
    let wait: Duration = millis(settings.timeout_ms);
    match fetch(address, "/health", wait, settings.max_body_bytes).await {
        Ok(answer) => judge(&answer),
        Err(error) => Finding::Silent {
            detail: match error {
                FetchError::Refused(_) => "no connection",
                FetchError::TimedOut => "no answer in time",
                FetchError::TooLarge => "the health answer is too large",
                FetchError::Broken(_) => "the health answer broke off",
            }
            .to_owned(),
        },
    }
}

fn judge(answer: &Fetched) -> Finding {
    let report: Option<HealthReport> = serde_json::from_slice(&answer.body).ok();
    match (answer.status, report) {
        (200..=299, Some(report)) => Finding::Good {
            detail: troubles(&report),
            version: report.version,
            uptime_s: report.uptime_s,
        },
        (503, Some(report)) => Finding::Refuses {
            detail: troubles(&report).unwrap_or_else(|| "says it is unhealthy".to_owned()),
        },
        (status, None) if (200..=299).contains(&status) => Finding::Silent {
            detail: "the health answer cannot be read".to_owned(),
        },
        (status, _) => Finding::Silent {
            detail: format!("the health answer has the status {status}"),
        },
    }
}

/// The checks that are not healthy. The services word them for anybody to read.
fn troubles(report: &HealthReport) -> Option<String> {
    let failing = report
        .checks
        .iter()
        .filter(|check| check.status != Status::Healthy);
    let texts: Vec<String> = failing
        .map(|check| match &check.detail {
            Some(detail) => format!("{}: {detail}", check.name),
            None => check.name.clone(),
        })
        .collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_judged_by_status_and_form() {
        let body = |status: &str| {
            format!(
                r#"{{"status":"{status}","service":"order","version":"1.2.3","uptime_s":7,
                "checks":[{{"name":"database","status":"{status}","latency_ms":1,"detail":"slow"}}]}}"#
            )
        };
        let good = |detail: Option<&str>| Finding::Good {
            version: "1.2.3".to_owned(),
            uptime_s: 7,
            detail: detail.map(ToOwned::to_owned),
        };
        let silent = |detail: &str| Finding::Silent {
            detail: detail.to_owned(),
        };
        for (status, body, expected) in [
            (200, body("healthy"), good(None)),
            (200, body("degraded"), good(Some("database: slow"))),
            (
                503,
                body("unhealthy"),
                Finding::Refuses {
                    detail: "database: slow".to_owned(),
                },
            ),
            (
                200,
                "hello".to_owned(),
                silent("the health answer cannot be read"),
            ),
            (
                302,
                body("healthy"),
                silent("the health answer has the status 302"),
            ),
            (
                503,
                "overloaded".to_owned(),
                silent("the health answer has the status 503"),
            ),
            (
                404,
                String::new(),
                silent("the health answer has the status 404"),
            ),
        ] {
            let answer = Fetched {
                status,
                body: body.clone().into(),
            };
            assert_eq!(judge(&answer), expected, "{status} {body}");
        }
    }
}
