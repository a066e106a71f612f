//! `/api/users/keys/rotate`: a new signing key, on request.

use actix_web::{post, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, Valid};
use common::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::rotate_keys::{self, NewKey, Retire};
use crate::state::AppState;

/// What becomes of the keys before.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RetireIn {
    /// Published until their tokens have expired: nobody notices.
    #[default]
    WhenExpired,
    /// At once, for keys that somebody else may have: every token that they signed is refused from
    /// now on, everybody refreshes, and services fetch new tokens of their own within seconds.
    Now,
}

/// How to rotate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateIn {
    /// What becomes of the keys before; `when_expired` when left out.
    #[serde(default)]
    retire: RetireIn,
}

impl Check for RotateIn {
    fn check(&self, _faults: &mut Faults) {
        // Every value that can be read is acceptable.
    }
}

/// The new key.
#[derive(Serialize, ToSchema)]
pub(crate) struct RotatedOut {
    /// Its id.
    kid: String,
    /// It signs tokens from here on.
    signs_from: Timestamp,
}

impl From<NewKey> for RotatedOut {
    fn from(key: NewKey) -> Self {
        Self {
            kid: key.kid,
            signs_from: key.signs_from,
        }
    }
}

/// Makes a new signing key, ahead of the schedule.
///
/// For owners. Each request makes one. Emits no event.
#[access(chain)]
#[utoipa::path(
    tag = "keys",
    request_body = RotateIn,
    responses(
        (status = 200, description = "The new key.", body = RotatedOut),
        (status = 403, description = "Not an owner.", body = Problem),
        (status = 409, description = "Another rotation was faster.", body = Problem),
    ),
)]
#[post("/api/users/keys/rotate")]
pub(crate) async fn rotate(
    auth: Permit<permits::KeysRotate>,
    state: web::Data<AppState>,
    body: Valid<RotateIn>,
) -> Result<web::Json<RotatedOut>, ApiError> {
    let retire = match body.retire {
        RetireIn::WhenExpired => Retire::WhenExpired,
        RetireIn::Now => Retire::Now,
    };
    let made = rotate_keys::rotate(&state, &auth, retire).await?;
    Ok(web::Json(made.into()))
}
