//! Whether a service can do its work: `GET /health` and `GET /ready`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use futures_util::future::{BoxFuture, join_all};
use serde::{Deserialize, Serialize};

/// Longest time one check may take; a slower one has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// How a dependency or a whole service is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Works.
    Healthy,
    /// Works in part, or late.
    Degraded,
    /// Does not work.
    Unhealthy,
}

/// What a failing dependency does to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// Without it the service cannot work: unhealthy.
    Required,
    /// Without it the service works in part: degraded.
    Helpful,
}

/// The outcome of one check.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CheckReport {
    /// What was checked, such as `database`.
    pub name: String,
    /// How it is.
    pub status: Status,
    /// How long the check took, in milliseconds.
    pub latency_ms: u64,
    /// What is wrong, in general words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The body of `GET /health`.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HealthReport {
    /// The worst of all checks.
    pub status: Status,
    /// The service's name.
    pub service: String,
    /// Its version.
    pub version: String,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// One report for each dependency.
    pub checks: Vec<CheckReport>,
}

type CheckFn = dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync;

struct Check {
    name: &'static str,
    importance: Importance,
    run: Box<CheckFn>,
}

/// The checks of one service. Clones share them.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    service: &'static str,
    version: &'static str,
    started: Instant,
    checks: Vec<Check>,
}

/// Collects the checks of a service.
pub struct HealthBuilder(Inner);

impl HealthBuilder {
    /// Adds a check. Its `Err` text is shown to anybody: say what fails, not where or why.
    #[must_use]
    pub fn check<F, Fut>(mut self, name: &'static str, importance: Importance, run: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        let run: Box<CheckFn> = Box::new(move || Box::pin(run()));
        self.0.checks.push(Check {
            name,
            importance,
            run,
        });
        self
    }

    /// The finished set.
    #[must_use]
    pub fn build(self) -> Health {
        Health(Arc::new(self.0))
    }
}

impl Health {
    /// Starts a set of checks for a service.
    #[must_use]
    pub fn builder(service: &'static str, version: &'static str) -> HealthBuilder {
        HealthBuilder(Inner {
            service,
            version,
            started: Instant::now(),
            checks: Vec::new(),
        })
    }

    /// The service's name.
    #[must_use]
    pub fn service(&self) -> &'static str {
        self.0.service
    }

    /// Runs every check at once.
    pub async fn report(&self) -> HealthReport {
        let checks = join_all(self.0.checks.iter().map(run_check)).await;
        let status = checks
            .iter()
            .map(|check| check.status)
            .max()
            .unwrap_or(Status::Healthy);
        HealthReport {
            status,
            service: self.0.service.to_owned(),
            version: self.0.version.to_owned(),
            uptime_s: self.0.started.elapsed().as_secs(),
            checks,
        }
    }
}

async fn run_check(check: &Check) -> CheckReport {
    let started = Instant::now();
    let outcome = tokio::time::timeout(CHECK_TIMEOUT, (check.run)()).await;
    let detail = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(detail)) => Some(detail),
        Err(_elapsed) => Some("no answer in time".to_owned()),
    };
    let status = match (&detail, check.importance) {
        (None, _) => Status::Healthy,
        (Some(_), Importance::Helpful) => Status::Degraded,
        (Some(_), Importance::Required) => Status::Unhealthy,
    };
    let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    CheckReport {
        name: check.name.to_owned(),
        status,
        latency_ms,
        detail,
    }
}

/// `GET /health`: 200 while the service can work, 503 when it cannot.
pub(crate) async fn health(health: actix_web::web::Data<Health>) -> HttpResponse {
    let report = health.report().await;
    match report.status {
        Status::Unhealthy => HttpResponse::ServiceUnavailable().json(report),
        Status::Healthy | Status::Degraded => HttpResponse::Ok().json(report),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_worst_check_decides() {
        let health = Health::builder("test", "1")
            .check("good", Importance::Required, || async { Ok(()) })
            .check("slow", Importance::Helpful, || async {
                Err("late".to_owned())
            })
            .build();
        let report = health.report().await;
        assert_eq!(report.status, Status::Degraded);
        assert_eq!(report.checks.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_has_failed() {
        let health = Health::builder("test", "1")
            .check("stuck", Importance::Required, std::future::pending)
            .build();
        assert_eq!(health.report().await.status, Status::Unhealthy);
    }
}
