//! What the protocol's endpoints read, as the OpenAPI document shows it. `oidc::params` reads it:
//! RFC 6749 lets parameters be empty, unknown or in two places, which no schema can say.
#![expect(dead_code, reason = "descriptions; nothing is read into them")]

use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// An authorization request (OpenID Connect Core 1.0, section 3.1.2.1; RFC 7636, section 4.3).
#[derive(IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
pub(super) struct AuthorizationForm {
    /// The application.
    client_id: Uuid,
    /// Where the answer goes: one of the addresses that the application registered.
    redirect_uri: String,
    /// `code`.
    response_type: String,
    /// What the application asks for, separated by blanks.
    scope: String,
    /// SHA-256 of the application's verifier, in base64url.
    code_challenge: String,
    /// `S256`.
    code_challenge_method: String,
    /// Comes back with the answer; at most 1,024 visible characters.
    state: Option<String>,
    /// Comes back in the ID token; at most 1,024 visible characters.
    nonce: Option<String>,
    /// `query`.
    response_mode: Option<String>,
    /// `none`, `login`, `consent`, `select_account`.
    prompt: Option<String>,
    /// Seconds since somebody proved themselves, at most.
    max_age: Option<u32>,
    /// An ID token of whoever is expected.
    id_token_hint: Option<String>,
    /// An email to offer on the page.
    login_hint: Option<String>,
}

/// Where the page that asked for the login sends somebody on.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Resumption {
    /// What the login page was told; holds for this browser alone.
    ticket: String,
}

/// What the login page sends: email and password, a passkey, or the code of a second factor.
#[derive(ToSchema)]
pub(super) struct LoginPageForm {
    /// What the page was told; holds for this browser alone.
    ticket: String,
    /// The account.
    email: Option<String>,
    /// Its password.
    #[schema(format = Password)]
    password: Option<String>,
    /// The ceremony that the page began.
    ceremony: Option<String>,
    /// What the authenticator answered, as JSON.
    passkey: Option<String>,
    /// The login that waits for a second factor.
    waiting: Option<String>,
    /// The second factor.
    #[schema(format = Password)]
    code: Option<String>,
}

/// What the page sends that asks whether an application may.
#[derive(ToSchema)]
pub(super) struct ConsentPageForm {
    /// What the page was told; holds for this browser alone.
    ticket: String,
    /// `allow`, `deny`, or `switch` to sign in as somebody else.
    decision: String,
}

/// A sign-out (OpenID Connect RP-Initiated Logout 1.0, section 2).
#[derive(IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
pub(super) struct SignOutForm {
    /// An ID token of who signs out.
    id_token_hint: Option<String>,
    /// The application.
    client_id: Option<String>,
    /// Where to go then: one of the addresses that the application registered.
    post_logout_redirect_uri: Option<String>,
    /// Comes back there.
    state: Option<String>,
}

/// What the page sends that asks whether to sign out.
#[derive(ToSchema)]
pub(super) struct SignOutPageForm {
    /// What the page was told; holds for this browser alone.
    ticket: String,
}

/// A token request (RFC 6749, sections 4.1.3, 4.4.2 and 6). The application proves itself here or with
/// HTTP Basic, not with both.
#[derive(ToSchema)]
pub(super) struct TokenForm {
    /// `authorization_code`, `refresh_token` or `client_credentials`.
    grant_type: String,
    /// The application.
    client_id: Option<Uuid>,
    /// Its secret.
    #[schema(format = Password)]
    client_secret: Option<String>,
    /// The code, of an `authorization_code`.
    #[schema(format = Password)]
    code: Option<String>,
    /// The address of the authorization request.
    redirect_uri: Option<String>,
    /// The verifier whose challenge was sent.
    #[schema(format = Password)]
    code_verifier: Option<String>,
    /// Of a `refresh_token`.
    #[schema(format = Password)]
    refresh_token: Option<String>,
    /// Less than was granted, separated by blanks.
    scope: Option<String>,
}

/// A token to take back (RFC 7009, section 2.1).
#[derive(ToSchema)]
pub(super) struct RevocationForm {
    /// An access or refresh token.
    #[schema(format = Password)]
    token: String,
    /// Which of them; not needed.
    token_type_hint: Option<String>,
    /// The application.
    client_id: Option<Uuid>,
    /// Its secret.
    #[schema(format = Password)]
    client_secret: Option<String>,
}
