//! `/api/users/audit`: who did what.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION};
use actix_web::{HttpResponse, get, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, ErrorChain, Problem};
use common::extract::{Check, Faults, ValidQuery};
use common::page::{Page, check_limit, decode_cursor, limit_or_default};
use common::time::Timestamp;
use contracts::audit::{AuditEntry, AuditLine};
use futures_util::StreamExt as _;
use serde::Deserialize;
use store::StoreError;
use utoipa::IntoParams;

use crate::app::audit_trail;
use crate::state::AppState;
use crate::store::audit::AuditFilter;

/// Longest text looked for, in bytes.
const MAX_TEXT_BYTES: usize = 100;

/// Which entries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// From this instant on.
    #[serde(default)]
    from: Option<Timestamp>,
    /// Before this instant.
    #[serde(default)]
    to: Option<Timestamp>,
    /// Done by this account (its id) or service (its name).
    #[serde(default)]
    #[param(max_length = 100)]
    actor: Option<String>,
    /// This action, such as `account.changed`.
    #[serde(default)]
    #[param(max_length = 100)]
    action: Option<String>,
    /// Page size, 1 to 200; 50 when left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// From the page before.
    #[serde(default)]
    cursor: Option<String>,
}

impl Check for AuditQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
        for (text, field) in [(&self.actor, "actor"), (&self.action, "action")] {
            let text = text.as_deref().unwrap_or_default();
            let short = text.len() <= MAX_TEXT_BYTES && !text.contains('\0');
            faults.require(short, field, "too_long", "at most 100 bytes without NUL");
        }
    }
}

/// Lists what was done, newest first.
///
/// For owners.
#[access(chain)]
#[utoipa::path(
    tag = "audit",
    params(AuditQuery),
    responses((status = 200, description = "One page.", body = Page<AuditEntry>)),
)]
#[get("/api/users/audit")]
pub(crate) async fn list(
    auth: Permit<permits::AuditRead>,
    state: web::Data<AppState>,
    query: ValidQuery<AuditQuery>,
) -> Result<web::Json<Page<AuditEntry>>, ApiError> {
    let before: Option<i64> = decode_cursor(query.cursor.as_deref())?;
    let limit = limit_or_default(query.limit);
    let ValidQuery(query) = query;
    let filter = AuditFilter {
        from: query.from,
        to: query.to,
        actor: query.actor,
        action: query.action,
    };
    let fetch = limit.saturating_add(1);
    let entries = audit_trail::list(&state, &auth, &filter, before, fetch).await?;
    let page = Page::cut(entries, limit, |entry| entry.seq, |entry| entry);
    Ok(web::Json(page))
}

/// Exports the whole trail, with the hashes and seals that let anyone check it.
///
/// For owners. One JSON object per line: `entry`, `seal` over the entry before it, and at last
/// `end`; without that line the export is incomplete. `maru verify audit` checks one.
#[access(chain)]
#[utoipa::path(
    tag = "audit",
    responses(
        (status = 200, description = "The trail.", body = String, content_type = "application/x-ndjson"),
        (status = 403, description = "Not an owner.", body = Problem),
    ),
)]
#[get("/api/users/audit/export")]
pub(crate) async fn export(
    auth: Permit<permits::AuditRead>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let lines = audit_trail::export(state, &auth).await?;
    let body = lines.map(|line| line.map(bytes_of).inspect_err(log_failure));
    Ok(HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"audit.ndjson\""))
        .streaming(Box::pin(body)))
}

fn bytes_of(line: AuditLine) -> web::Bytes {
    let mut text = serde_json::to_vec(&line).expect("a line is plain data");
    text.push(b'\n');
    text.into()
}

/// The status was sent long ago; the client sees an answer that breaks off.
fn log_failure(error: &StoreError) {
    tracing::error!(error = %ErrorChain(error), "an export of the audit trail broke off");
}
