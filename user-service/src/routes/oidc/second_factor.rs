//! The second step of the login page: a code, where the password is not enough.

use actix_web::http::StatusCode;
use secrecy::{ExposeSecret, SecretString};

use super::html::{Answer, Nonce, PageError, SecondFactorPage};
use super::login::{Page, Problem, Proof};
use crate::app::mfa::challenge::{Typed, answer_typed};
use crate::app::mfa::{Challenge, MfaMethod};
use crate::client_address::ClientAddress;
use crate::domain::totp;
use crate::error::CredentialError;
use crate::oidc::redirect_uri::form_action_source;
use crate::oidc::request::AuthorizationRequest;
use crate::state::AppState;

/// Authentication methods (RFC 8176, section 2) of a password and a code that is good once.
const WITH_CODE: &[&str] = &["mfa", "otp", "pwd"];
/// Longest code that is looked at, in bytes.
const MAX_CODE_BYTES: usize = 40;

/// The page that asks for what is missing. A passkey is shown in the place of the password.
pub(super) fn next_page<'p>(challenge: &'p Challenge, email: &'p str) -> Page<'p> {
    if challenge.methods.contains(&MfaMethod::Totp) {
        Page::SecondFactor(challenge.token.secret(), None)
    } else {
        Page::LogIn(Problem {
            status: StatusCode::BAD_REQUEST,
            text: "This account signs in with a passkey.",
            email,
            wait: None,
        })
    }
}

/// Ends the login that waits with what somebody typed: the generator's digits, or a recovery code.
pub(super) async fn with_code(
    state: &AppState,
    waiting: &SecretString,
    code: &SecretString,
    address: ClientAddress,
) -> Result<Proof, CredentialError> {
    let text = code.expose_secret().trim();
    if text.len() > MAX_CODE_BYTES {
        return Err(CredentialError::WrongFactor);
    }
    let is_number = text.len() == totp::DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    let typed = match is_number {
        true => Typed::Totp,
        false => Typed::RecoveryCode,
    };
    let tokens = answer_typed(state, waiting, address, (typed, code)).await?;
    Ok(Proof::Whole(tokens.session, WITH_CODE))
}

/// The page on which somebody types a code.
pub(super) fn page(
    request: &AuthorizationRequest,
    ticket: &str,
    waiting: &SecretString,
    problem: Option<Problem<'_>>,
) -> Result<Answer, PageError> {
    let nonce = Nonce::new();
    let page = SecondFactorPage {
        nonce: nonce.as_str(),
        application: &request.client.name,
        ticket,
        waiting: waiting.expose_secret(),
        problem: problem.as_ref().map(|problem| problem.text),
    };
    let status = problem.map_or(StatusCode::OK, |problem| problem.status);
    let target = form_action_source(&request.redirect_uri);
    Answer::page(status, &nonce, &target, &page)
}
