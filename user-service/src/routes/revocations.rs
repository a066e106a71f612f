//! `/internal/revocations`: what the other services refuse.

use actix_web::{get, web};
use common::auth::{RevocationsPage, ServiceIdentity, access};
use common::error::Problem;
use common::extract::{Check, Faults, ValidQuery};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::state::AppState;

/// What is known already.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RevocationsQuery {
    /// The cursor of the answer before; without one, or with one of another replica, everything is
    /// told.
    #[serde(default)]
    #[param(max_length = 100)]
    after: Option<String>,
}

impl Check for RevocationsQuery {
    fn check(&self, faults: &mut Faults) {
        let short = self.after.as_ref().is_none_or(|after| after.len() <= 100);
        faults.require(short, "after", "too_long", "at most 100 bytes");
    }
}

/// What was revoked since the last question: ended sessions, changed accounts, and the keys with
/// which tokens verify now.
///
/// For services. Each of their processes asks every two seconds.
#[access(chain)]
#[utoipa::path(
    tag = "internal",
    params(RevocationsQuery),
    responses(
        (status = 200, description = "What is new.", body = RevocationsPage),
        (status = 403, description = "Not a service.", body = Problem),
    ),
)]
#[get("/internal/revocations")]
pub(crate) async fn list(
    _caller: ServiceIdentity,
    state: web::Data<AppState>,
    query: ValidQuery<RevocationsQuery>,
) -> web::Json<RevocationsPage> {
    let (cursor, revocations) = state.revocations.after(query.after.as_deref());
    let keys = state.keyring.published();
    web::Json(RevocationsPage {
        cursor,
        revocations,
        keys,
    })
}
