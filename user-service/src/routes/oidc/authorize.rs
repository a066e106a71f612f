//! `/oauth/authorize` and the consent page that may follow it.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use common::auth::access;
use common::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::browser::Browser;
use super::forms::{AuthorizationForm, ConsentPageForm, Resumption};
use super::html::{Answer, ConsentPage, Nonce, PageError, respond};
use super::login::{LoginTicket, login_page};
use crate::error::SessionError;
use crate::oidc::authorize::{self, Step, allow, next_step};
use crate::oidc::browser::SignedIn;
use crate::oidc::error::Refusal;
use crate::oidc::params::{MAX_BYTES, Params};
use crate::oidc::redirect_uri::form_action_source;
use crate::oidc::request::{AuthorizationRequest, RequestFault};
use crate::state::AppState;
use crate::tickets::{BadTicket, Stub};

/// A request that goes on after somebody signed in.
#[derive(Serialize, Deserialize)]
pub(super) struct ResumeTicket {
    /// The authorization request's query, as it came.
    pub(super) query: String,
    /// When its first page was shown, in microseconds.
    pub(super) began_at_micros: i64,
}

impl Stub for ResumeTicket {
    const PURPOSE: &'static str = "resume";
}

/// A request that waits for the person's word.
#[derive(Serialize, Deserialize)]
struct ConsentTicket {
    query: String,
    /// Who is asked: somebody else who signed in meanwhile must be asked again.
    session: String,
}

impl Stub for ConsentTicket {
    const PURPOSE: &'static str = "consent";
}

/// An authorization request (OpenID Connect Core 1.0, section 3.1.2).
#[access(public)]
#[utoipa::path(
    tag = "OpenID Connect",
    params(AuthorizationForm),
    responses(
        (status = 200, description = "A page.", content_type = "text/html", body = String),
        (status = 303, description = "On to the next page, or back to the application."),
        (status = "4XX", description = "A page that says what is wrong.", content_type = "text/html", body = String),
        (status = 503, description = "A page that says to wait.", content_type = "text/html", body = String),
    )
)]
#[get("/oauth/authorize")]
pub(crate) async fn get_authorize(
    request: HttpRequest,
    state: web::Data<AppState>,
    browser: Browser,
) -> HttpResponse {
    respond(proceed(&state, &browser, request.query_string(), None).await)
}

/// The same as a form. Cookies do not come along when another site posts it, so the browser asks
/// again by GET.
#[access(public)]
#[utoipa::path(
    tag = "OpenID Connect",
    request_body(content = AuthorizationForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A page.", content_type = "text/html", body = String),
        (status = 303, description = "On to the next page, or back to the application."),
        (status = "4XX", description = "A page that says what is wrong.", content_type = "text/html", body = String),
        (status = 503, description = "A page that says to wait.", content_type = "text/html", body = String),
    )
)]
#[post("/oauth/authorize")]
pub(crate) async fn post_authorize(body: web::Bytes) -> HttpResponse {
    std::future::ready(respond(ask_by_get("/oauth/authorize", &body))).await
}

/// Goes on after somebody signed in.
#[access(public)]
#[utoipa::path(
    tag = "OpenID Connect",
    params(Resumption),
    responses(
        (status = 200, description = "A page.", content_type = "text/html", body = String),
        (status = 303, description = "On to the next page, or back to the application."),
        (status = "4XX", description = "A page that says what is wrong.", content_type = "text/html", body = String),
        (status = 503, description = "A page that says to wait.", content_type = "text/html", body = String),
    )
)]
#[get("/oauth/continue")]
pub(crate) async fn resume(
    request: HttpRequest,
    state: web::Data<AppState>,
    browser: Browser,
) -> HttpResponse {
    let outcome = async {
        let ticket = request
            .query_string()
            .strip_prefix("ticket=")
            .ok_or(BadTicket)?;
        let now = state.clock.now();
        let ticket: ResumeTicket = state.tickets.read(browser.key.expose(), ticket, now)?;
        let began_at = Timestamp::from_micros(ticket.began_at_micros);
        proceed(&state, &browser, &ticket.query, Some(began_at)).await
    };
    respond(outcome.await)
}

/// The person's word: allow, deny, or somebody else should sign in.
#[access(public)]
#[utoipa::path(
    tag = "OpenID Connect",
    request_body(content = ConsentPageForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A page.", content_type = "text/html", body = String),
        (status = 303, description = "On to the next page, or back to the application."),
        (status = "4XX", description = "A page that says what is wrong.", content_type = "text/html", body = String),
        (status = 503, description = "A page that says to wait.", content_type = "text/html", body = String),
    )
)]
#[post("/oauth/consent")]
pub(crate) async fn decide(
    state: web::Data<AppState>,
    browser: Browser,
    body: web::Bytes,
) -> HttpResponse {
    respond(try_decide(&state, &browser, &body).await)
}

async fn proceed(
    state: &AppState,
    browser: &Browser,
    query: &str,
    began_at: Option<Timestamp>,
) -> Result<Answer, PageError> {
    let params = Params::parse(query)?;
    let request = match AuthorizationRequest::read(state, &params).await {
        Ok(request) => request,
        Err(fault) => return answer_fault(state, fault),
    };
    let person = browser.person(state).await?;
    let answer = match next_step(state, &request, person.as_ref(), began_at).await? {
        Step::Return(address) => Answer::redirect(&address),
        Step::LogIn => {
            let began_at = began_at.unwrap_or_else(|| state.clock.now());
            let ticket = LoginTicket::new(query, began_at);
            login_page(state, browser, &request, ticket, None)?
        }
        Step::AskConsent => {
            let person = person.as_ref().ok_or(BadTicket)?;
            consent_page(state, browser, &request, query, person)?
        }
    };
    Ok(answer.with_cookie(browser.key_cookie(&state.oidc)))
}

async fn try_decide(state: &AppState, browser: &Browser, body: &[u8]) -> Result<Answer, PageError> {
    // The ticket holds a request of the largest size, encoded.
    let form = read_form(body)?;
    let field = |name: &str| form.iter().find(|(known, _)| known == name);
    let field = |name: &str| field(name).map_or("", |(_, value)| value.as_str());
    let now = state.clock.now();
    let ticket: ConsentTicket = state
        .tickets
        .read(browser.key.expose(), field("ticket"), now)?;
    let person = browser.person(state).await?;
    let person = person.filter(|person| person.session.to_string() == ticket.session);
    let person = person.ok_or(BadTicket)?;
    let params = Params::parse(&ticket.query)?;
    let request = match AuthorizationRequest::read(state, &params).await {
        Ok(request) => request,
        Err(fault) => return answer_fault(state, fault),
    };
    match field("decision") {
        "allow" => Ok(Answer::redirect(&allow(state, &request, &person).await?)),
        "deny" => {
            let refusal = Refusal::new("access_denied", "the person said no");
            Ok(refuse(state, refusal, &request))
        }
        "switch" => {
            let ticket = LoginTicket::new(&ticket.query, now);
            login_page(state, browser, &request, ticket, None)
        }
        _ => Err(BadTicket.into()),
    }
}

fn refuse(state: &AppState, refusal: Refusal, request: &AuthorizationRequest) -> Answer {
    let back = request.return_address();
    Answer::redirect(&authorize::refusal_address(state, refusal, &back))
}

pub(super) fn answer_fault(state: &AppState, fault: RequestFault) -> Result<Answer, PageError> {
    match fault {
        RequestFault::Unreturnable(detail) => Err(PageError::Refused(detail)),
        RequestFault::Refused(refusal, back) => {
            let address = authorize::refusal_address(state, refusal, &back);
            Ok(Answer::redirect(&address))
        }
        RequestFault::Store(error) => Err(SessionError::from(error).into()),
    }
}

fn consent_page(
    state: &AppState,
    browser: &Browser,
    request: &AuthorizationRequest,
    query: &str,
    person: &SignedIn,
) -> Result<Answer, PageError> {
    let stub = ConsentTicket {
        query: query.to_owned(),
        session: person.session.to_string(),
    };
    let ticket = state
        .tickets
        .sign(browser.key.expose(), stub, state.clock.now());
    let nonce = Nonce::new();
    let target = form_action_source(&request.redirect_uri);
    let page = ConsentPage {
        nonce: nonce.as_str(),
        application: &request.client.name,
        destination: &target,
        ticket: &ticket,
        name: &person.account.display_name,
        email: &person.account.email,
        meanings: request.scopes.meanings(),
    };
    Answer::page(StatusCode::OK, &nonce, &target, &page)
}

/// A form of one of our own pages.
pub(super) fn read_form(body: &[u8]) -> Result<Vec<(String, String)>, PageError> {
    serde_urlencoded::from_bytes(body).map_err(|_malformed| BadTicket.into())
}

/// Lets the browser ask by GET for what another site posted: then its cookies come along.
pub(super) fn ask_by_get(path: &str, body: &[u8]) -> Result<Answer, PageError> {
    match std::str::from_utf8(body) {
        Ok(query) if query.len() <= MAX_BYTES && is_query(query) => {
            Ok(Answer::redirect(&format!("{path}?{query}")))
        }
        _ => Err(PageError::Refused(
            "The application that sent you here asked in a wrong form.",
        )),
    }
}

/// Whether a form can stand in a query as it is.
fn is_query(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
}
