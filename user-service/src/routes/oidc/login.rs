//! The login page: a password or a passkey, and the second factor that a password may need.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use common::auth::access;
use common::time::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::authorize::{ResumeTicket, answer_fault, read_form};
use super::browser::{Browser, signed_in_cookie};
use super::forms::LoginPageForm;
use super::html::{Answer, LoginPage, Nonce, PageError, respond};
use super::second_factor;
use crate::app::log_in::{self, BUSY_RETRY_AFTER, LoggedIn, Login};
use crate::app::mfa::Challenge;
use crate::client_address::ClientAddress;
use crate::domain::email::MAX_EMAIL_BYTES;
use crate::domain::password::MAX_CHARACTERS;
use crate::domain::session::SessionId;
use crate::error::{AccountError, CredentialError, SessionError};
use crate::oidc::browser;
use crate::oidc::params::Params;
use crate::oidc::redirect_uri::form_action_source;
use crate::oidc::request::AuthorizationRequest;
use crate::passkeys;
use crate::state::AppState;
use crate::tickets::Stub;

/// Authentication methods (RFC 8176, section 2) of a password.
const WITH_PASSWORD: &[&str] = &["pwd"];
/// And of a passkey whose device verified its person: two factors.
const WITH_PASSKEY: &[&str] = &["mfa", "pop", "user"];

/// A request that waits for somebody to sign in.
#[derive(Serialize, Deserialize)]
pub(super) struct LoginTicket {
    query: String,
    began_at_micros: i64,
}

impl Stub for LoginTicket {
    const PURPOSE: &'static str = "login";
}

impl LoginTicket {
    pub(super) fn new(query: &str, began_at: Timestamp) -> Self {
        Self {
            query: query.to_owned(),
            began_at_micros: began_at.as_micros(),
        }
    }
}

/// What somebody has shown of themselves.
pub(super) enum Proof {
    /// Enough, and by which methods.
    Whole(SessionId, &'static [&'static str]),
    /// The password, to which a second factor belongs.
    Half(Challenge),
}

#[derive(Default)]
struct LoginForm {
    ticket: String,
    /// The login that waits for the code.
    waiting: Option<SecretString>,
    code: SecretString,
    email: String,
    password: SecretString,
    ceremony: String,
    passkey: String,
}

impl LoginForm {
    fn read(body: &[u8]) -> Result<Self, PageError> {
        let mut form = Self::default();
        for (name, value) in read_form(body)? {
            match name.as_str() {
                "ticket" => form.ticket = value,
                "waiting" => form.waiting = Some(value.into()),
                "code" => form.code = value.into(),
                "email" => form.email = value,
                "password" => form.password = value.into(),
                "ceremony" => form.ceremony = value,
                "passkey" => form.passkey = value,
                _ => {}
            }
        }
        Ok(form)
    }
}

/// Signs somebody in, in this browser.
#[access(public)]
#[utoipa::path(
    tag = "OpenID Connect",
    request_body(content = LoginPageForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A page.", content_type = "text/html", body = String),
        (status = 303, description = "On to the next page, or back to the application."),
        (status = "4XX", description = "A page that says what is wrong.", content_type = "text/html", body = String),
        (status = 503, description = "A page that says to wait.", content_type = "text/html", body = String),
    )
)]
#[post("/oauth/login")]
pub(crate) async fn submit_login(
    state: web::Data<AppState>,
    browser: Browser,
    address: ClientAddress,
    body: web::Bytes,
) -> HttpResponse {
    respond(try_log_in(&state, &browser, address, &body).await)
}

async fn try_log_in(
    state: &AppState,
    browser: &Browser,
    address: ClientAddress,
    body: &[u8],
) -> Result<Answer, PageError> {
    let form = LoginForm::read(body)?;
    let now = state.clock.now();
    let ticket: LoginTicket = state
        .tickets
        .read(browser.key.expose(), &form.ticket, now)?;
    let proved = if let Some(waiting) = &form.waiting {
        second_factor::with_code(state, waiting, &form.code, address).await
    } else if !form.passkey.is_empty() {
        with_passkey(state, &form, address).await
    } else {
        with_password(state, &form, address).await
    };
    match proved {
        Ok(Proof::Whole(session, methods)) => enter(state, browser, ticket, session, methods).await,
        Ok(Proof::Half(challenge)) => {
            let page = second_factor::next_page(&challenge, &form.email);
            draw(state, browser, ticket, page).await
        }
        Err(error) => ask_again(state, browser, ticket, &form, error).await,
    }
}

/// Lets somebody be signed in in this browser, and goes on with what they came for.
async fn enter(
    state: &AppState,
    browser: &Browser,
    ticket: LoginTicket,
    session: SessionId,
    methods: &[&str],
) -> Result<Answer, PageError> {
    if let Some(before) = browser.person(state).await? {
        // One browser, one person.
        browser::sign_out(state, before.session, before.account.id).await?;
    }
    let cookie = browser::remember(state, session, methods).await?;
    let stub = ResumeTicket {
        query: ticket.query,
        began_at_micros: ticket.began_at_micros,
    };
    let now = state.clock.now();
    let resume = state.tickets.sign(browser.key.expose(), stub, now);
    let answer = Answer::redirect(&format!("/oauth/continue?ticket={resume}"));
    Ok(answer.with_cookie(Some(signed_in_cookie(&state.oidc, &cookie))))
}

async fn with_password(
    state: &AppState,
    form: &LoginForm,
    address: ClientAddress,
) -> Result<Proof, CredentialError> {
    use secrecy::ExposeSecret as _;
    let password = form.password.expose_secret();
    if form.email.len() > MAX_EMAIL_BYTES || password.chars().count() > MAX_CHARACTERS {
        return Err(SessionError::BadCredentials.into());
    }
    let login = Login {
        email: form.email.clone(),
        password: form.password.clone(),
        address,
    };
    // Its tokens are for programs that sign in; here the cookie takes their place, and nobody gets
    // them.
    Ok(match log_in::log_in(state, login).await? {
        LoggedIn::Tokens(tokens) => Proof::Whole(tokens.session, WITH_PASSWORD),
        LoggedIn::SecondFactor(challenge) => Proof::Half(challenge),
    })
}

async fn with_passkey(
    state: &AppState,
    form: &LoginForm,
    address: ClientAddress,
) -> Result<Proof, CredentialError> {
    let answer = serde_json::from_str(&form.passkey);
    let answer = answer.map_err(|_malformed| SessionError::BadCredentials)?;
    let signed_in = passkeys::finish_login(state, &form.ceremony, &answer, address).await;
    let tokens = signed_in.map_err(SessionError::from)?;
    Ok(Proof::Whole(tokens.session, WITH_PASSKEY))
}

async fn ask_again(
    state: &AppState,
    browser: &Browser,
    ticket: LoginTicket,
    form: &LoginForm,
    error: CredentialError,
) -> Result<Answer, PageError> {
    let begins_anew = matches!(error, CredentialError::ChallengeOver);
    let problem = problem_of(form, error)?;
    let wait = problem.wait;
    let page = match &form.waiting {
        Some(waiting) if !begins_anew => Page::SecondFactor(waiting, Some(problem)),
        _ => Page::LogIn(problem),
    };
    let answer = draw(state, browser, ticket, page).await?;
    Ok(match wait {
        Some(wait) => answer.with_retry_after(wait.as_secs().max(1)),
        None => answer,
    })
}

/// Shows the page for the request that a ticket holds.
async fn draw(
    state: &AppState,
    browser: &Browser,
    ticket: LoginTicket,
    page: Page<'_>,
) -> Result<Answer, PageError> {
    let params = Params::parse(&ticket.query)?;
    let request = match AuthorizationRequest::read(state, &params).await {
        Ok(request) => request,
        Err(fault) => return answer_fault(state, fault),
    };
    match page {
        Page::LogIn(problem) => login_page(state, browser, &request, ticket, Some(problem)),
        Page::SecondFactor(waiting, problem) => {
            let ticket = sign(state, browser, ticket);
            second_factor::page(&request, &ticket, waiting, problem)
        }
    }
}

fn sign(state: &AppState, browser: &Browser, ticket: LoginTicket) -> String {
    let now = state.clock.now();
    state.tickets.sign(browser.key.expose(), ticket, now)
}

fn problem_of(form: &LoginForm, error: CredentialError) -> Result<Problem<'_>, PageError> {
    let problem = Problem {
        status: StatusCode::BAD_REQUEST,
        text: "",
        email: &form.email,
        wait: None,
    };
    Ok(match error {
        CredentialError::WrongFactor => Problem {
            text: "The code is wrong, or was used before.",
            ..problem
        },
        CredentialError::ChallengeOver => Problem {
            text: "That took too long, or too many codes were wrong. Sign in again.",
            ..problem
        },
        CredentialError::Account(AccountError::Session(error)) => match error {
            SessionError::BadCredentials if form.passkey.is_empty() => Problem {
                text: "The email or the password is wrong.",
                ..problem
            },
            SessionError::BadCredentials => Problem {
                text: "That passkey was not accepted. Try again, or use your password.",
                ..problem
            },
            SessionError::Throttled(wait) => Problem {
                status: StatusCode::TOO_MANY_REQUESTS,
                text: "Too many tries. Wait a moment before the next one.",
                wait: Some(wait),
                ..problem
            },
            SessionError::Busy(_) => Problem {
                status: StatusCode::SERVICE_UNAVAILABLE,
                text: "Many people are signing in just now. Try again in a moment.",
                wait: Some(BUSY_RETRY_AFTER),
                ..problem
            },
            other => return Err(other.into()),
        },
        other => return Err(PageError::Credential(other)),
    })
}

/// What is shown next.
pub(super) enum Page<'p> {
    LogIn(Problem<'p>),
    /// For the login that waits for it.
    SecondFactor(&'p SecretString, Option<Problem<'p>>),
}

/// What went wrong with the try before, or what has to be done otherwise.
pub(super) struct Problem<'p> {
    pub(super) status: StatusCode,
    pub(super) text: &'p str,
    /// What was typed, so that it need not be typed again.
    pub(super) email: &'p str,
    /// When to come back.
    pub(super) wait: Option<Duration>,
}

/// The page on which somebody signs in for a request.
pub(super) fn login_page(
    state: &AppState,
    browser: &Browser,
    request: &AuthorizationRequest,
    ticket: LoginTicket,
    problem: Option<Problem<'_>>,
) -> Result<Answer, PageError> {
    let ticket = sign(state, browser, ticket);
    let nonce = Nonce::new();
    let hint = request.login_hint.as_deref().unwrap_or_default();
    let email = problem.as_ref().map_or(hint, |problem| problem.email);
    let page = LoginPage {
        nonce: nonce.as_str(),
        application: &request.client.name,
        ticket: &ticket,
        email,
        problem: problem.as_ref().map(|problem| problem.text),
    };
    let status = problem
        .as_ref()
        .map_or(StatusCode::OK, |problem| problem.status);
    let target = form_action_source(&request.redirect_uri);
    Answer::page(status, &nonce, &target, &page)
}
