//! `/api/users/dev/outbox`: the mails that were asked for, while nobody sends them. On the
//! development profile alone.

use std::collections::BTreeMap;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, get, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, ValidQuery};
use common::ids::EventId;
use common::page::{Page, check_limit, decode_cursor, limit_or_default};
use common::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::whoami::caller;
use crate::state::AppState;
use crate::store::development_mails::{self, StoredMail};

/// A mail that was asked for.
#[derive(Serialize, ToSchema)]
pub(crate) struct MailOut {
    /// The event's id.
    id: EventId,
    /// The address to send to.
    recipient: String,
    /// What it is about, such as `invitation`.
    template: String,
    /// The reader's language.
    locale: String,
    /// What the text needs; a `link` lets its holder in.
    variables: BTreeMap<String, String>,
    /// When it was asked for.
    requested_at: Timestamp,
}

/// Which mails to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OutboxQuery {
    /// Page size, 1 to 200; 50 when left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// From the page before.
    #[serde(default)]
    cursor: Option<String>,
}

impl Check for OutboxQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
    }
}

impl From<StoredMail> for MailOut {
    fn from(mail: StoredMail) -> Self {
        Self {
            id: mail.id,
            recipient: mail.recipient,
            template: mail.template,
            locale: mail.locale,
            variables: mail.variables,
            requested_at: mail.requested_at,
        }
    }
}

/// Lists the mails of the last day, the newest first.
///
/// For owners, on the development profile; in production this path does not exist.
#[access(chain)]
#[utoipa::path(
    tag = "development",
    params(OutboxQuery),
    responses(
        (status = 200, description = "One page.", body = Page<MailOut>),
        (status = 403, description = "Not an owner.", body = Problem),
    ),
)]
#[get("/api/users/dev/outbox")]
pub(crate) async fn list(
    auth: Permit<permits::UsersWrite>,
    state: web::Data<AppState>,
    query: ValidQuery<OutboxQuery>,
) -> Result<HttpResponse, ApiError> {
    let before: Option<EventId> = decode_cursor(query.cursor.as_deref())?;
    let limit = limit_or_default(query.limit);
    let mut tx = state.db.read().await?;
    let _owner = caller(&state, &mut tx, &auth).await?;
    let rows = i64::from(limit).saturating_add(1);
    let now = state.clock.now();
    let mails = development_mails::list_mails(&mut tx, before, now, rows).await?;
    let page = Page::cut(mails, limit, |mail| mail.id, MailOut::from);
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(page))
}
