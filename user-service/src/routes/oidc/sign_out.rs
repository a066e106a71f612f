//! `/oauth/end_session`: sign-out that an application asks for.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use common::auth::access;
use serde::{Deserialize, Serialize};

use super::authorize::{ask_by_get, read_form};
use super::browser::{Browser, signed_out_cookie};
use super::forms::{SignOutForm, SignOutPageForm};
use super::html::{Answer, Nonce, PageError, SignOutPage, respond};
use crate::error::SessionError;
use crate::oidc::browser;
use crate::oidc::end_session::{SignOut, SignOutFault};
use crate::oidc::params::Params;
use crate::oidc::redirect_uri::form_action_source;
use crate::state::AppState;
use crate::tickets::{BadTicket, Stub};

/// A sign-out that waits for the person's word.
#[derive(Serialize, Deserialize)]
struct SignOutTicket {
    return_to: Option<String>,
}

impl Stub for SignOutTicket {
    const PURPOSE: &'static str = "sign-out";
}

/// A request to sign out.
#[access(public)]
#[utoipa::path(
    tag = "OpenID Connect",
    params(SignOutForm),
    responses(
        (status = 200, description = "A page.", content_type = "text/html", body = String),
        (status = 303, description = "On to the next page, or back to the application."),
        (status = "4XX", description = "A page that says what is wrong.", content_type = "text/html", body = String),
        (status = 503, description = "A page that says to wait.", content_type = "text/html", body = String),
    )
)]
#[get("/oauth/end_session")]
pub(crate) async fn get_sign_out(
    request: HttpRequest,
    state: web::Data<AppState>,
    browser: Browser,
) -> HttpResponse {
    respond(proceed(&state, &browser, request.query_string()).await)
}

/// The same as a form. Cookies do not come along when another site posts it, so the browser asks
/// again by GET.
#[access(public)]
#[utoipa::path(
    tag = "OpenID Connect",
    request_body(content = SignOutForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A page.", content_type = "text/html", body = String),
        (status = 303, description = "On to the next page, or back to the application."),
        (status = "4XX", description = "A page that says what is wrong.", content_type = "text/html", body = String),
        (status = 503, description = "A page that says to wait.", content_type = "text/html", body = String),
    )
)]
#[post("/oauth/end_session")]
pub(crate) async fn post_sign_out(body: web::Bytes) -> HttpResponse {
    std::future::ready(respond(ask_by_get("/oauth/end_session", &body))).await
}

/// The person's word.
#[access(public)]
#[utoipa::path(
    tag = "OpenID Connect",
    request_body(content = SignOutPageForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A page.", content_type = "text/html", body = String),
        (status = 303, description = "On to the next page, or back to the application."),
        (status = "4XX", description = "A page that says what is wrong.", content_type = "text/html", body = String),
        (status = 503, description = "A page that says to wait.", content_type = "text/html", body = String),
    )
)]
#[post("/oauth/end_session/confirm")]
pub(crate) async fn confirm(
    state: web::Data<AppState>,
    browser: Browser,
    body: web::Bytes,
) -> HttpResponse {
    let outcome = async {
        let form = read_form(&body)?;
        let ticket = form
            .iter()
            .find(|(name, _)| name == "ticket")
            .ok_or(BadTicket)?;
        let now = state.clock.now();
        let ticket: SignOutTicket = state.tickets.read(browser.key.expose(), &ticket.1, now)?;
        finish(&state, &browser, ticket.return_to.as_deref()).await
    };
    respond(outcome.await)
}

async fn proceed(state: &AppState, browser: &Browser, query: &str) -> Result<Answer, PageError> {
    let params = Params::parse(query)?;
    let sign_out = match SignOut::read(state, &params).await {
        Ok(sign_out) => sign_out,
        Err(SignOutFault::Refused(detail)) => return Err(PageError::Refused(detail)),
        Err(SignOutFault::Store(error)) => return Err(SessionError::from(error).into()),
    };
    let return_to = sign_out.return_to.as_deref();
    let Some(person) = browser.person(state).await? else {
        return finish(state, browser, return_to).await;
    };
    if sign_out.is_certain(&person) {
        return finish(state, browser, return_to).await;
    }
    let target = return_to.map(form_action_source).unwrap_or_default();
    let stub = SignOutTicket {
        return_to: sign_out.return_to,
    };
    let ticket = state
        .tickets
        .sign(browser.key.expose(), stub, state.clock.now());
    let nonce = Nonce::new();
    let page = SignOutPage {
        nonce: nonce.as_str(),
        ticket: &ticket,
        email: &person.account.email,
    };
    let answer = Answer::page(StatusCode::OK, &nonce, &target, &page)?;
    Ok(answer.with_cookie(browser.key_cookie(&state.oidc)))
}

async fn finish(
    state: &AppState,
    browser: &Browser,
    return_to: Option<&str>,
) -> Result<Answer, PageError> {
    let answer = match return_to {
        Some(address) => Answer::redirect(address),
        None => Answer::message("You are signed out", "You can close this page.")?,
    };
    let Some(person) = browser.person(state).await? else {
        return Ok(answer);
    };
    browser::sign_out(state, person.session, person.account.id).await?;
    Ok(answer.with_cookie(Some(signed_out_cookie(&state.oidc))))
}
