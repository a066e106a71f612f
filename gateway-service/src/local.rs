//! The gateway's own endpoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use common::error::ApiError;
use common::health::{Health, Status};
use common::telemetry::Metrics;

use crate::answer::{Content, Draft, json, set, with_type};
use crate::docs::{Library, page};
use crate::status::Board;

/// An endpoint of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Local {
    Health,
    Ready,
    Metrics,
    Status,
    OpenApi,
    DocsPage,
    DocsAsset(&'static str),
}

impl Local {
    /// The endpoint at a canonical path, and its label.
    pub(crate) fn of(path: &str) -> Option<(Self, &'static str)> {
        Some(match path {
            "/health" => (Self::Health, "/health"),
            "/ready" => (Self::Ready, "/ready"),
            "/metrics" => (Self::Metrics, "/metrics"),
            "/api/services/status" => (Self::Status, "/api/services/status"),
            "/openapi.json" => (Self::OpenApi, "/openapi.json"),
            "/docs" | "/docs/" => (Self::DocsPage, "/docs"),
            _ => (
                Self::DocsAsset(page::asset_name(path.strip_prefix("/docs/")?)?),
                "/docs",
            ),
        })
    }
}

/// What the endpoints show.
pub(crate) struct LocalState {
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    pub(crate) board: Arc<Board>,
    pub(crate) library: Arc<Library>,
    pub(crate) stopping: Arc<AtomicBool>,
}

impl LocalState {
    pub(crate) async fn answer(&self, local: Local) -> Result<Draft, ApiError> {
        let mut draft = match local {
            Local::Health => self.health().await?,
            Local::Ready if self.stopping.load(Ordering::Relaxed) => {
                HttpResponse::with_body(StatusCode::SERVICE_UNAVAILABLE, Content::Announced(0))
            }
            Local::Ready => self.health().await?,
            Local::Metrics => with_type(
                StatusCode::OK,
                "text/plain; version=0.0.4",
                self.metrics.render(),
            ),
            Local::Status => {
                let report = serde_json::to_vec(&self.board.report());
                json(StatusCode::OK, report.map_err(ApiError::internal)?)
            }
            Local::OpenApi => json(StatusCode::OK, self.library.document()),
            Local::DocsPage => return Ok(page::page()),
            Local::DocsAsset(name) => return page::asset(name),
        };
        set(&mut draft, "cache-control", "no-store");
        Ok(draft)
    }

    async fn health(&self) -> Result<Draft, ApiError> {
        let report = self.health.report().await;
        let status = match report.status {
            Status::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
            Status::Healthy | Status::Degraded => StatusCode::OK,
        };
        let report = serde_json::to_vec(&report).map_err(ApiError::internal)?;
        Ok(json(status, report))
    }
}
