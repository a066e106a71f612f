//! Pages for people. Everything that comes from outside is escaped by the templates; no page loads
//! anything from elsewhere, and none can be shown inside another site's (RFC 9700, section 4.16).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ContentType, LOCATION, REFERRER_POLICY, RETRY_AFTER,
    SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use common::error::ApiError;

use crate::error::{CredentialError, SessionError};
use crate::keys::random;
use crate::oidc::params::TooLong;
use crate::tickets::BadTicket;

/// Where somebody signs in.
#[derive(Template)]
#[template(path = "login.html")]
pub(super) struct LoginPage<'p> {
    pub(super) nonce: &'p str,
    pub(super) application: &'p str,
    pub(super) ticket: &'p str,
    pub(super) email: &'p str,
    pub(super) problem: Option<&'p str>,
}

/// Where somebody types a second factor.
#[derive(Template)]
#[template(path = "second_factor.html")]
pub(super) struct SecondFactorPage<'p> {
    pub(super) nonce: &'p str,
    pub(super) application: &'p str,
    pub(super) ticket: &'p str,
    /// Names the login that waits for it.
    pub(super) waiting: &'p str,
    pub(super) problem: Option<&'p str>,
}

/// Where somebody says what an application may do.
#[derive(Template)]
#[template(path = "consent.html")]
pub(super) struct ConsentPage<'p> {
    pub(super) nonce: &'p str,
    pub(super) application: &'p str,
    /// Where the answer goes, as the person can recognize it.
    pub(super) destination: &'p str,
    pub(super) ticket: &'p str,
    pub(super) name: &'p str,
    pub(super) email: &'p str,
    pub(super) meanings: Vec<&'static str>,
}

/// Where somebody is asked whether to sign out.
#[derive(Template)]
#[template(path = "sign_out.html")]
pub(super) struct SignOutPage<'p> {
    pub(super) nonce: &'p str,
    pub(super) ticket: &'p str,
    pub(super) email: &'p str,
}

/// Something that a person should know; nothing to do here.
#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage<'p> {
    nonce: &'p str,
    title: &'p str,
    text: &'p str,
    request_id: Option<&'p str>,
    is_good: bool,
}

/// An answer to a browser under way.
pub(super) struct Answer(HttpResponse);

impl Answer {
    /// A page. Its form may lead to `form_target` besides back here.
    pub(super) fn page<T: Template>(
        status: StatusCode,
        nonce: &Nonce,
        form_target: &str,
        page: &T,
    ) -> Result<Self, PageError> {
        let body = page.render().map_err(PageError::Template)?;
        let policy = policy(nonce, form_target);
        Ok(Self(
            HttpResponse::build(status)
                .insert_header(ContentType::html())
                .insert_header((CONTENT_SECURITY_POLICY, policy))
                .insert_header((X_FRAME_OPTIONS, "DENY"))
                .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
                .insert_header((REFERRER_POLICY, "no-referrer"))
                .insert_header((CACHE_CONTROL, "no-store"))
                .body(body),
        ))
    }

    /// A message.
    pub(super) fn message(title: &str, text: &str) -> Result<Self, PageError> {
        message(StatusCode::OK, title, text, None)
    }

    /// Elsewhere, by GET whatever the method was (RFC 9700, section 4.12).
    pub(super) fn redirect(to: &str) -> Self {
        Self(
            HttpResponse::SeeOther()
                .insert_header((LOCATION, to))
                .insert_header((REFERRER_POLICY, "no-referrer"))
                .insert_header((CACHE_CONTROL, "no-store"))
                .finish(),
        )
    }

    /// Adds a cookie, if there is one.
    pub(super) fn with_cookie(mut self, cookie: Option<String>) -> Self {
        let value = cookie.and_then(|cookie| cookie.parse().ok());
        if let Some(value) = value {
            self.0.headers_mut().append(SET_COOKIE, value);
        }
        self
    }

    /// Tells when to come back, in seconds.
    pub(super) fn with_retry_after(mut self, seconds: u64) -> Self {
        self.0.headers_mut().insert(RETRY_AFTER, seconds.into());
        self
    }
}

/// Why there is no page.
#[derive(Debug)]
pub(super) enum PageError {
    /// The person is told; the browser goes nowhere.
    Refused(&'static str),
    Template(askama::Error),
    Session(SessionError),
    Credential(CredentialError),
}

impl From<SessionError> for PageError {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl From<store::StoreError> for PageError {
    fn from(error: store::StoreError) -> Self {
        Self::Session(error.into())
    }
}

impl From<TooLong> for PageError {
    fn from(_error: TooLong) -> Self {
        Self::Refused("The application that sent you here asked in too many words.")
    }
}

impl From<BadTicket> for PageError {
    fn from(_error: BadTicket) -> Self {
        Self::Refused(
            "This page is out of date, or your browser keeps no cookies. \
             Go back to the application and start again.",
        )
    }
}

/// The answer, or a page that says why there is none.
pub(super) fn respond(outcome: Result<Answer, PageError>) -> HttpResponse {
    let answered = outcome.or_else(|error| match error {
        PageError::Refused(text) => {
            message(StatusCode::BAD_REQUEST, "That did not work", text, None)
        }
        PageError::Template(error) => failure(ApiError::internal(error)),
        PageError::Session(error) => failure(error.into()),
        PageError::Credential(error) => failure(error.into()),
    });
    match answered {
        Ok(Answer(response)) => response,
        Err(_template) => HttpResponse::InternalServerError().finish(),
    }
}

fn failure(error: ApiError) -> Result<Answer, PageError> {
    use actix_web::ResponseError as _;
    // Writes the log; the body is for programs.
    let problem = error.error_response();
    let status = match problem.status() {
        StatusCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
        status => status,
    };
    let id = common::context::current_request_id();
    let text = "Something went wrong here. Wait a moment and try again.";
    let page = message(status, "That did not work", text, id.as_deref())?;
    let wait = problem.headers().get(RETRY_AFTER);
    let wait = wait.and_then(|wait| wait.to_str().ok()?.parse().ok());
    Ok(match wait {
        Some(seconds) => page.with_retry_after(seconds),
        None => page,
    })
}

fn message(
    status: StatusCode,
    title: &str,
    text: &str,
    request_id: Option<&str>,
) -> Result<Answer, PageError> {
    let nonce = Nonce::new();
    let page = MessagePage {
        nonce: nonce.as_str(),
        title,
        text,
        request_id,
        is_good: status.is_success(),
    };
    Answer::page(status, &nonce, "", &page)
}

/// Marks the style and script that a page itself brings (Content Security Policy, Level 3, section
/// 7.1).
pub(super) struct Nonce(String);

impl Nonce {
    pub(super) fn new() -> Self {
        Self(STANDARD_NO_PAD.encode(random::<16>()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

fn policy(nonce: &Nonce, form_target: &str) -> String {
    let nonce = nonce.as_str();
    format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; \
         connect-src 'self'; img-src data:; form-action 'self' {form_target}; base-uri 'none'; \
         frame-ancestors 'none'"
    )
}
