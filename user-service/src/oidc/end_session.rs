//! Sign-out that an application asks for (OpenID Connect RP-Initiated Logout 1.0).

use ::store::StoreError;

use super::browser::SignedIn;
use super::client::{Client, ClientId};
use super::params::Params;
use super::redirect_uri::with_query;
use super::store::clients;
use crate::keys::IdTokenClaims;
use crate::state::AppState;

/// A request to sign out.
#[derive(Debug)]
pub(crate) struct SignOut {
    /// Where the browser goes afterwards; nowhere when the request does not say.
    pub(crate) return_to: Option<String>,
    /// The ID token of the person and browser that are meant.
    hint: Option<IdTokenClaims>,
}

/// Why the request is not answered.
#[derive(Debug)]
pub(crate) enum SignOutFault {
    /// The person is told; the browser goes nowhere.
    Refused(&'static str),
    Store(StoreError),
}

impl From<StoreError> for SignOutFault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl SignOut {
    /// Reads a request. An expired ID token is as good as another: it only says who is meant.
    pub(crate) async fn read(state: &AppState, params: &Params) -> Result<Self, SignOutFault> {
        if params.has_repeated() {
            return Err(SignOutFault::Refused(
                "A parameter was sent more than once.",
            ));
        }
        let token = params.get("id_token_hint");
        let hint = token.and_then(|token| state.mint.read_id_token(&state.oidc.issuer, token));
        let client = find_client(state, params, hint.as_ref()).await?;
        let is_unreadable = token.is_some() && hint.is_none();
        let return_to = match params.get("post_logout_redirect_uri") {
            None => None,
            // Only the hint says whose address it is: the person is asked and stays here, which aborts
            // no more than what needs the hint (section 4).
            Some(_) if is_unreadable && params.get("client_id").is_none() => None,
            Some(uri) => {
                let known = client.filter(|client| client.may_return_to(uri));
                let detail = "The application named an address that it did not register.";
                known.ok_or(SignOutFault::Refused(detail))?;
                let state = params.get("state").map(|state| ("state", state));
                match state {
                    Some(pair) => Some(with_query(uri, &[pair])),
                    None => Some(uri.to_owned()),
                }
            }
        };
        Ok(Self { return_to, hint })
    }

    /// Whether the person need not be asked: the ID token shows that the application knows whom it
    /// signs out, and of which browser.
    pub(crate) fn is_certain(&self, person: &SignedIn) -> bool {
        let hint = self.hint.as_ref();
        hint.is_some_and(|claims| {
            claims.sub == person.account.id.to_string() && claims.sid == person.session.to_string()
        })
    }
}

async fn find_client(
    state: &AppState,
    params: &Params,
    hint: Option<&IdTokenClaims>,
) -> Result<Option<Client>, SignOutFault> {
    let named = params.get("client_id");
    let hinted = hint.map(|claims| claims.aud.as_str());
    if let (Some(named), Some(hinted)) = (named, hinted)
        && named != hinted
    {
        let detail = "The application's id is another than that of its ID token.";
        return Err(SignOutFault::Refused(detail));
    }
    let id: Option<ClientId> = named.or(hinted).and_then(|text| text.parse().ok());
    let Some(id) = id else { return Ok(None) };
    let mut tx = state.db.read().await?;
    Ok(clients::find(&mut tx, id).await?)
}
