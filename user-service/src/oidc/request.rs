//! An authorization request (OpenID Connect Core 1.0, section 3.1.2.1), read and judged.

use std::time::Duration;

use ::store::StoreError;

use super::client::{Client, ClientId};
use super::error::Refusal;
use super::params::Params;
use super::pkce::Challenge;
use super::redirect_uri;
use super::scopes::Scopes;
use super::store::clients;
use crate::state::AppState;

/// Longest `state` and `nonce`, in bytes.
const MAX_OPAQUE_BYTES: usize = 1_024;

/// A request that can be answered.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizationRequest {
    pub(crate) client: Client,
    pub(crate) redirect_uri: String,
    pub(crate) scopes: Scopes,
    pub(crate) state: Option<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) challenge: Challenge,
    pub(crate) prompt: Prompt,
    pub(crate) max_age: Option<Duration>,
    /// Who the application believes is signed in, from an ID token of ours.
    pub(crate) expected_subject: Option<String>,
    pub(crate) login_hint: Option<String>,
}

/// What the application wants the person to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// No page at all.
    pub(crate) none: bool,
    /// The login page, whoever is signed in.
    pub(crate) login: bool,
    /// The consent page, whatever was granted before.
    pub(crate) consent: bool,
}

/// Where an answer to the application goes.
#[derive(Clone, Debug)]
pub(crate) struct ReturnAddress {
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
}

/// Why a request is not answered with a code.
#[derive(Debug)]
pub(crate) enum RequestFault {
    /// Nobody knows where to send the browser: the person is told, the browser stays (RFC 6749,
    /// section 4.1.2.1).
    Unreturnable(&'static str),
    /// The application is told.
    Refused(Refusal, ReturnAddress),
    Store(StoreError),
}

impl From<StoreError> for RequestFault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl AuthorizationRequest {
    /// Reads a request and looks its application up.
    pub(crate) async fn read(state: &AppState, params: &Params) -> Result<Self, RequestFault> {
        let (client, back) = find_return_address(state, params).await?;
        match Self::judge(state, params, client, &back) {
            Ok(request) => Ok(request),
            Err(refusal) => Err(RequestFault::Refused(refusal, back)),
        }
    }

    /// Where the answer goes.
    pub(crate) fn return_address(&self) -> ReturnAddress {
        ReturnAddress {
            redirect_uri: self.redirect_uri.clone(),
            state: self.state.clone(),
        }
    }

    /// Whether nobody else can get the answer. A program on the person's machine can pretend to be
    /// another one there, so such an application is asked about every time (RFC 8252, section 8.6).
    pub(crate) fn is_surely_the_clients(&self) -> bool {
        self.client.is_confidential() || self.redirect_uri.starts_with("https:")
    }

    fn judge(
        state: &AppState,
        params: &Params,
        client: Client,
        back: &ReturnAddress,
    ) -> Result<Self, Refusal> {
        if params.has_repeated() {
            return Err(Refusal::invalid("a parameter was sent more than once"));
        }
        refuse_what_is_not_offered(params)?;
        let requested = params.get("scope").unwrap_or_default();
        let scopes = Scopes::parse(requested);
        if scopes.is_empty() {
            let detail = "name at least one scope that is known here, such as openid";
            return Err(Refusal::new("invalid_scope", detail));
        }
        if !scopes.is_subset_of(&client.scopes) {
            let detail = "this application is not registered for one of the scopes";
            return Err(Refusal::new("invalid_scope", detail));
        }
        let hint = hint_of(state, params, &client)?;
        let mut prompt = prompt_of(params)?;
        // Nobody knows who is expected, so it is nobody who is signed in already.
        prompt.login |= hint == Hint::Unreadable;
        Ok(Self {
            challenge: challenge_of(params)?,
            prompt,
            max_age: max_age_of(params)?,
            nonce: opaque(
                params,
                "nonce",
                "nonce must be at most 1024 visible characters",
            )?,
            expected_subject: match hint {
                Hint::Of(subject) => Some(subject),
                Hint::None | Hint::Unreadable => None,
            },
            login_hint: params.get("login_hint").map(ToOwned::to_owned),
            state: back.state.clone(),
            redirect_uri: back.redirect_uri.clone(),
            scopes,
            client,
        })
    }
}

async fn find_return_address(
    state: &AppState,
    params: &Params,
) -> Result<(Client, ReturnAddress), RequestFault> {
    let unknown = RequestFault::Unreturnable("The application that sent you here is not known.");
    let id: Option<ClientId> = params.get("client_id").and_then(|text| text.parse().ok());
    let Some(id) = id else { return Err(unknown) };
    let mut tx = state.db.read().await?;
    let client = clients::find(&mut tx, id).await?;
    let Some(client) = client.filter(|client| !client.disabled) else {
        return Err(unknown);
    };
    let uri = params.get("redirect_uri").unwrap_or_default();
    if uri.len() > redirect_uri::MAX_BYTES || !client.may_redirect_to(uri) {
        let detail =
            "The application that sent you here named an address that it did not register.";
        return Err(RequestFault::Unreturnable(detail));
    }
    let redirect_uri = uri.to_owned();
    match opaque(
        params,
        "state",
        "state must be at most 1024 visible characters",
    ) {
        Ok(state) => Ok((
            client,
            ReturnAddress {
                redirect_uri,
                state,
            },
        )),
        Err(refusal) => {
            let state = None;
            Err(RequestFault::Refused(
                refusal,
                ReturnAddress {
                    redirect_uri,
                    state,
                },
            ))
        }
    }
}

fn refuse_what_is_not_offered(params: &Params) -> Result<(), Refusal> {
    if params.get("request").is_some() {
        let detail = "request objects are not offered";
        return Err(Refusal::new("request_not_supported", detail));
    }
    if params.get("request_uri").is_some() {
        let detail = "request objects are not offered";
        return Err(Refusal::new("request_uri_not_supported", detail));
    }
    if params.get("registration").is_some() {
        let detail = "applications are registered beforehand";
        return Err(Refusal::new("registration_not_supported", detail));
    }
    match params.get("response_type") {
        Some("code") => {}
        Some(_) => {
            let detail = "only the response type code is offered";
            return Err(Refusal::new("unsupported_response_type", detail));
        }
        None => return Err(Refusal::invalid("response_type is missing")),
    }
    match params.get("response_mode") {
        None | Some("query") => Ok(()),
        Some(_) => Err(Refusal::invalid("only the response mode query is offered")),
    }
}

/// RFC 7636, section 4.3; required of every application (RFC 9700, section 2.1.1).
fn challenge_of(params: &Params) -> Result<Challenge, Refusal> {
    let Some(challenge) = params.get("code_challenge") else {
        return Err(Refusal::invalid("code_challenge is missing"));
    };
    // Left out means plain.
    if params.get("code_challenge_method") != Some("S256") {
        return Err(Refusal::invalid(
            "only the code_challenge_method S256 is offered",
        ));
    }
    let malformed = Refusal::invalid("code_challenge must be a SHA-256 in base64url");
    Challenge::parse(challenge).ok_or(malformed)
}

fn prompt_of(params: &Params) -> Result<Prompt, Refusal> {
    let mut prompt = Prompt::default();
    for word in params.get("prompt").unwrap_or_default().split(' ') {
        match word {
            "" => {}
            "none" => prompt.none = true,
            "login" | "select_account" => prompt.login = true,
            "consent" => prompt.consent = true,
            _ => return Err(Refusal::invalid("prompt has an unknown value")),
        }
    }
    if prompt.none && (prompt.login || prompt.consent) {
        return Err(Refusal::invalid("prompt none stands alone"));
    }
    Ok(prompt)
}

fn max_age_of(params: &Params) -> Result<Option<Duration>, Refusal> {
    let Some(text) = params.get("max_age") else {
        return Ok(None);
    };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u32>() {
        Ok(seconds) if digits => Ok(Some(Duration::from_secs(seconds.into()))),
        _ => Err(Refusal::invalid("max_age must be a number of seconds")),
    }
}

/// A text that means something to the application alone (RFC 6749, appendix A.5).
fn opaque(params: &Params, name: &str, fault: &'static str) -> Result<Option<String>, Refusal> {
    let Some(text) = params.get(name) else {
        return Ok(None);
    };
    let visible = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    if text.len() > MAX_OPAQUE_BYTES || !visible {
        return Err(Refusal::invalid(fault));
    }
    Ok(Some(text.to_owned()))
}

/// Who the application expects to be signed in.
#[derive(Debug, PartialEq, Eq)]
enum Hint {
    None,
    Of(String),
    /// A token that cannot be read any more, or never could.
    Unreadable,
}

fn hint_of(state: &AppState, params: &Params, client: &Client) -> Result<Hint, Refusal> {
    let Some(hint) = params.get("id_token_hint") else {
        return Ok(Hint::None);
    };
    match state.mint.read_id_token(&state.oidc.issuer, hint) {
        None => Ok(Hint::Unreadable),
        Some(claims) if claims.aud == client.id.to_string() => Ok(Hint::Of(claims.sub)),
        Some(_) => Err(Refusal::invalid(
            "id_token_hint is no ID token of this application",
        )),
    }
}
