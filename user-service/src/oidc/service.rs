//! Tokens of applications that act for themselves, without a person (RFC 6749, section 4.4): the role
//! of a program, as far as the registered scopes and stores go.

use common::auth::Role;

use super::client::Client;
use super::error::GrantError;
use super::scopes::Scopes;
use super::token::Issued;
use crate::keys::Program;
use crate::state::AppState;

/// A token for an application that may act for itself; `asked` names fewer scopes than it has. There
/// is no refresh token: the application proves itself again (RFC 6749, section 4.4.3).
pub(crate) fn issue(
    state: &AppState,
    client: &Client,
    asked: Option<&str>,
) -> Result<Issued, GrantError> {
    let service = client.service.as_ref();
    let service = service.ok_or(GrantError::UnauthorizedClient)?;
    let granted = own_scopes(&client.scopes);
    let scopes = match asked {
        None => granted,
        Some(text) => Some(Scopes::parse(text))
            .filter(|asked| asked.is_subset_of(&granted))
            .ok_or(GrantError::InvalidScope)?,
    };
    if scopes.is_empty() {
        return Err(GrantError::InvalidScope);
    }
    let access = state.mint.program(&Program {
        client_id: client.id.to_string(),
        session: service.session,
        stores: &service.stores,
        scope: scopes.to_string(),
    })?;
    tracing::info!(client.id = %client.id, "gave an application a token of its own");
    Ok(Issued {
        access,
        refresh: None,
        id_token: None,
        scopes,
    })
}

/// What can be done without a person.
fn own_scopes(scopes: &Scopes) -> Scopes {
    let permissions = Role::Service.grants().iter();
    let names = permissions.map(|permission| permission.as_str());
    names.filter(|name| scopes.contains(name)).collect()
}
