//! `/api/auth/pin`: choosing a PIN, and taking turns at a terminal with it.

use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, HttpResponse, delete, get, post, put, web};
use common::auth::{Principal, access};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, Valid, ValidQuery};
use common::ids::UserId;
use common::page::{Page, check_limit, decode_cursor, limit_or_default};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::passwords::check_present;
use super::sessions::{TokensOut, token_answer};
use crate::app::reauth::Reauth;
use crate::app::{devices, pins};
use crate::client_address::ClientAddress;
use crate::domain::device::PosDevice;
use crate::domain::pin;
use crate::error::CredentialError;
use crate::state::AppState;
use crate::store::pos_devices::PinHolder;

const DEVICE_TOKEN: &str = "x-device-token";

/// A registered terminal, by the token in `X-Device-Token`. 401 for any other.
pub(crate) struct Terminal(PosDevice);

impl FromRequest for Terminal {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let mut values = request.headers().get_all(DEVICE_TOKEN);
        // Which of several counts must not depend on who reads them.
        let token = match (values.next(), values.next()) {
            (Some(one), None) => one.to_str().ok().map(SecretString::from),
            _ => None,
        };
        let state = request.app_data::<web::Data<AppState>>().cloned();
        Box::pin(async move {
            let (Some(token), Some(state)) = (token, state) else {
                return Err(CredentialError::UnknownDevice.into());
            };
            Ok(Self(devices::recognize(&state, &token).await?))
        })
    }
}

/// A PIN to choose.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChooseIn {
    /// The present password.
    #[schema(value_type = String, format = Password, max_length = 128)]
    password: SecretString,
    /// Four to six digits, not one of those that are tried first.
    #[schema(value_type = String, format = Password, min_length = 4, max_length = 6, example = "4071")]
    pin: SecretString,
}

/// Whose turn it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TurnIn {
    /// The account.
    account_id: UserId,
    /// Its PIN.
    #[schema(value_type = String, format = Password, min_length = 4, max_length = 6, example = "4071")]
    pin: SecretString,
}

/// Somebody who may take a turn.
#[derive(Serialize, ToSchema)]
pub(crate) struct PinHolderOut {
    /// The account.
    account_id: UserId,
    /// What people call it.
    display_name: String,
}

/// Whom to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PeopleQuery {
    /// Page size, 1 to 200; 50 when left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// From the page before.
    #[serde(default)]
    cursor: Option<String>,
}

impl From<PinHolder> for PinHolderOut {
    fn from(holder: PinHolder) -> Self {
        Self {
            account_id: holder.id,
            display_name: holder.display_name,
        }
    }
}

impl Check for ChooseIn {
    fn check(&self, faults: &mut Faults) {
        check_present(&self.password, "password", faults);
        if let Err(fault) = pin::judge_new(self.pin.expose_secret()) {
            faults.add("pin", fault.code(), fault.to_string());
        }
    }
}

impl Check for TurnIn {
    fn check(&self, faults: &mut Faults) {
        let malformed = !pin::is_pin(self.pin.expose_secret());
        faults.require(!malformed, "pin", "malformed", "four to six digits");
    }
}

impl Check for PeopleQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
    }
}

/// Chooses the caller's PIN, in the place of another.
///
/// For any signed-in account, with its password. Emits no event.
#[access(caller)]
#[utoipa::path(
    tag = "auth",
    request_body = ChooseIn,
    responses(
        (status = 204, description = "Chosen."),
        (status = 422, description = "The password is wrong, or the PIN not acceptable.", body = Problem),
        (status = 429, description = "Too many failures; wait.", body = Problem),
    ),
)]
#[put("/api/auth/pin")]
pub(crate) async fn choose(
    principal: Principal,
    state: web::Data<AppState>,
    address: ClientAddress,
    body: Valid<ChooseIn>,
) -> Result<HttpResponse, ApiError> {
    let Valid(ChooseIn { password, pin }) = body;
    pins::choose(&state, &principal, Reauth { password, address }, &pin).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Gives up the caller's PIN.
///
/// For any signed-in account. Repeating it changes nothing. Emits no event.
#[access(caller)]
#[utoipa::path(
    tag = "auth",
    responses(
        (status = 204, description = "There is no PIN any more."),
        (status = 401, description = "Not signed in, or the session has ended.", body = Problem),
    ),
)]
#[delete("/api/auth/pin")]
pub(crate) async fn give_up(
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    pins::give_up(&state, &principal).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Lists who may take a turn at this terminal: the people of its store who have a PIN.
///
/// For registered terminals, by the token in `X-Device-Token`.
#[access(public)]
#[utoipa::path(
    tag = "auth",
    params(
        ("x-device-token" = String, Header, description = "The terminal's token."),
        PeopleQuery,
    ),
    responses(
        (status = 200, description = "One page.", body = Page<PinHolderOut>),
        (status = 401, description = "Not a registered terminal.", body = Problem),
    ),
)]
#[get("/api/auth/pin/people")]
pub(crate) async fn people(
    terminal: Terminal,
    state: web::Data<AppState>,
    query: ValidQuery<PeopleQuery>,
) -> Result<web::Json<Page<PinHolderOut>>, ApiError> {
    let after: Option<UserId> = decode_cursor(query.cursor.as_deref())?;
    let limit = limit_or_default(query.limit);
    let rows = pins::people(&state, &terminal.0, after, limit.saturating_add(1)).await?;
    Ok(web::Json(Page::cut(
        rows,
        limit,
        |row| row.id,
        PinHolderOut::from,
    )))
}

/// Opens a short session of an account, which holds in this terminal's store alone.
///
/// For registered terminals, by the token in `X-Device-Token`. An owner or area manager acts as the
/// store's manager there. After several failures tries are delayed: 429 with `Retry-After`. Emits no
/// event.
#[access(public)]
#[utoipa::path(
    tag = "auth",
    params(("x-device-token" = String, Header, description = "The terminal's token.")),
    request_body = TurnIn,
    responses(
        (status = 200, description = "Signed in.", body = TokensOut),
        (status = 401, description = "Not a registered terminal, or the account or PIN is wrong.",
         body = Problem),
        (status = 429, description = "Too many failures; wait.", body = Problem),
        (status = 503, description = "Too many logins at once; wait.", body = Problem),
    ),
)]
#[post("/api/auth/pin")]
pub(crate) async fn take_turn(
    terminal: Terminal,
    state: web::Data<AppState>,
    body: Valid<TurnIn>,
) -> Result<HttpResponse, ApiError> {
    let tokens = pins::take_turn(&state, &terminal.0, body.account_id, &body.pin).await?;
    Ok(token_answer(&tokens))
}
