//! `PATCH /api/auth/me`: what people change about themselves.

use actix_web::{patch, web};
use common::auth::{Principal, access};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, Valid};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::sessions::MeOut;
use crate::app;
use crate::app::profile::{self, ProfileChange, Settings};
use crate::domain::account::MAX_NAME_CHARACTERS;
use crate::domain::locale::is_locale;
use crate::state::AppState;

/// What is to become different; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MePatch {
    /// 1 to 100 characters.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    display_name: Option<String>,
    /// The language of mails, a BCP 47 tag.
    #[serde(default)]
    #[schema(max_length = 35, example = "ko")]
    locale: Option<String>,
}

/// What people see of their own account alone.
#[derive(Serialize, ToSchema)]
pub(crate) struct SettingsOut {
    /// The language of mails; absent until one was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    /// Whether the email was proved.
    email_verified: bool,
    /// Whether logins ask for a code.
    totp: bool,
    /// Whether a PIN signs in at terminals.
    pin: bool,
}

impl From<Settings> for SettingsOut {
    fn from(settings: Settings) -> Self {
        Self {
            locale: settings.profile.locale,
            email_verified: settings.profile.email_verified_at.is_some(),
            totp: settings.totp_in_force,
            pin: settings.has_pin,
        }
    }
}

impl Check for MePatch {
    fn check(&self, faults: &mut Faults) {
        if let Some(name) = &self.display_name {
            faults.require_text(name, "display_name", MAX_NAME_CHARACTERS);
        }
        let known = self.locale.as_deref().is_none_or(is_locale);
        faults.require(
            known,
            "locale",
            "malformed",
            "a BCP 47 tag such as ko or en-US",
        );
    }
}

/// Changes the caller's own name and language.
///
/// For any signed-in account. Repeating it changes nothing further. Emits no event.
#[access(caller)]
#[utoipa::path(
    tag = "auth",
    request_body = MePatch,
    responses(
        (status = 200, description = "The caller.", body = MeOut),
        (status = 401, description = "Not signed in, or the session has ended.", body = Problem),
        (status = 422, description = "Some fields are not acceptable.", body = Problem),
    ),
)]
#[patch("/api/auth/me")]
pub(crate) async fn change(
    principal: Principal,
    state: web::Data<AppState>,
    body: Valid<MePatch>,
) -> Result<web::Json<MeOut>, ApiError> {
    let MePatch {
        display_name,
        locale,
    } = body.0;
    let change = ProfileChange {
        display_name,
        locale,
    };
    profile::change(&state, &principal, change).await?;
    let me = app::whoami::whoami(&state, &principal).await?;
    Ok(web::Json(me.into()))
}
