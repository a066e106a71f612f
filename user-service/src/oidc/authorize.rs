//! What comes next for an authorization request: a page, a code, or a refusal.

use common::time::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::browser::SignedIn;
use super::client::{hash_of, random_token};
use super::error::Refusal;
use super::redirect_uri::with_query;
use super::request::{AuthorizationRequest, ReturnAddress};
use super::scopes::Scopes;
use super::store::codes::NewCode;
use super::store::{codes, consents};
use crate::audit::{self, Actor, Entry};
use crate::error::SessionError;
use crate::state::AppState;

const CODE_PREFIX: &str = "maru_ac_";

/// The next thing that the browser is shown.
#[derive(Debug)]
pub(crate) enum Step {
    LogIn,
    /// What was not granted before, and what was.
    AskConsent,
    /// Back to the application.
    Return(String),
}

/// Decides about a request. `began_at` is when its first page was shown, if one was: who signed in
/// since then has met what the application asked for.
pub(crate) async fn next_step(
    state: &AppState,
    request: &AuthorizationRequest,
    signed_in: Option<&SignedIn>,
    began_at: Option<Timestamp>,
) -> Result<Step, SessionError> {
    let usable = signed_in.filter(|person| is_fresh(state, request, person, began_at));
    let Some(person) = usable else {
        return Ok(match request.prompt.none {
            true => refuse(
                state,
                request,
                "login_required",
                "nobody is signed in as asked",
            ),
            false => Step::LogIn,
        });
    };
    let mut tx = state.db.read().await?;
    let granted = consents::find(&mut tx, person.account.id, request.client.id).await?;
    drop(tx);
    let granted = granted.unwrap_or_default();
    let covered = request.scopes.is_subset_of(&granted) && request.is_surely_the_clients();
    if request.prompt.consent || !covered {
        let detail = "the person has not granted this yet";
        return Ok(match request.prompt.none {
            true => refuse(state, request, "consent_required", detail),
            false => Step::AskConsent,
        });
    }
    Ok(Step::Return(
        issue_code(state, request, person, None).await?,
    ))
}

/// The person said yes: remembers it and issues a code.
pub(crate) async fn allow(
    state: &AppState,
    request: &AuthorizationRequest,
    person: &SignedIn,
) -> Result<String, SessionError> {
    issue_code(state, request, person, Some(&request.scopes)).await
}

/// The address that tells the application why there is no code.
pub(crate) fn refusal_address(state: &AppState, refusal: Refusal, back: &ReturnAddress) -> String {
    let answer = [
        ("error", refusal.code),
        ("error_description", refusal.detail),
    ];
    return_to(state, back, &answer)
}

fn refuse(
    state: &AppState,
    request: &AuthorizationRequest,
    code: &'static str,
    detail: &'static str,
) -> Step {
    let refusal = Refusal::new(code, detail);
    Step::Return(refusal_address(state, refusal, &request.return_address()))
}

/// Whether the person signed in the way the application asked for (OpenID Connect Core 1.0, section
/// 3.1.2.3).
fn is_fresh(
    state: &AppState,
    request: &AuthorizationRequest,
    person: &SignedIn,
    began_at: Option<Timestamp>,
) -> bool {
    let signed_in_at = person.authentication.at;
    let just_now = began_at.is_some_and(|began_at| signed_in_at >= began_at);
    let age = state.clock.now().since(signed_in_at);
    let young = request.max_age.is_none_or(|max_age| age <= max_age);
    let expected = request.expected_subject.as_ref();
    let is_expected = expected.is_none_or(|expected| *expected == person.account.id.to_string());
    is_expected && (just_now || (young && !request.prompt.login))
}

async fn issue_code(
    state: &AppState,
    request: &AuthorizationRequest,
    person: &SignedIn,
    consent: Option<&Scopes>,
) -> Result<String, SessionError> {
    let code = random_token(CODE_PREFIX);
    let (now, user, client) = (state.clock.now(), person.account.id, request.client.id);
    let mut tx = state.db.begin().await?;
    if let Some(scopes) = consent {
        let before = consents::find_locked(&mut tx, user, client).await?;
        let scopes = before.unwrap_or_default().union(scopes);
        consents::upsert(&mut tx, user, client, &scopes, now).await?;
    }
    let new = NewCode {
        hash: hash_of(code.expose_secret()),
        browser: person.session,
        user,
        authentication: &person.authentication,
        request,
        now,
    };
    codes::insert(&mut tx, &new).await?;
    if let Some(scopes) = consent {
        let entry = Entry::new(Actor::User(user), "consent.given").on("application", client);
        let given = serde_json::json!({"scopes": scopes.names()});
        audit::record(state, &mut tx, entry.after(given)).await?;
    }
    tx.commit().await?;
    tracing::info!(user.id = %user, client.id = %client, "issued an authorization code");
    Ok(success_address(state, request, &code))
}

fn success_address(
    state: &AppState,
    request: &AuthorizationRequest,
    code: &SecretString,
) -> String {
    let answer = [("code", code.expose_secret())];
    return_to(state, &request.return_address(), &answer)
}

/// With the issuer, so that an application with several providers is not fooled by one of them
/// (RFC 9207).
fn return_to(state: &AppState, back: &ReturnAddress, answer: &[(&str, &str)]) -> String {
    let mut params = answer.to_vec();
    if let Some(state) = &back.state {
        params.push(("state", state));
    }
    params.push(("iss", &state.oidc.issuer));
    with_query(&back.redirect_uri, &params)
}
