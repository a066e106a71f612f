//! Who asks: the account and session behind a token, as they are now.

use common::auth::{Principal, TokenType};
use store::Tx;

use super::acting::acting;
use super::api_keys;
use super::log_out::session_of;
use super::profile::{self, Settings};
use crate::domain::account::Account;
use crate::domain::api_key::ApiKeyId;
use crate::domain::session::SessionId;
use crate::error::{AccountError, CredentialError, SessionError};
use crate::state::AppState;
use crate::store::sessions::{self, SessionSpan};
use crate::store::{accounts, pos_devices};

/// An account and the session in which it asks.
pub(crate) struct Me {
    pub(crate) account: Account,
    pub(crate) session: SessionId,
    pub(crate) span: SessionSpan,
    pub(crate) settings: Settings,
}

/// The account and session of the caller.
pub(crate) async fn whoami(state: &AppState, principal: &Principal) -> Result<Me, CredentialError> {
    let mut tx = state.db.read().await?;
    let account = caller(state, &mut tx, principal).await?;
    let session = session_of(principal).ok_or(SessionError::SessionEnded)?;
    let span = sessions::find_span(&mut tx, session).await?;
    Ok(Me {
        settings: profile::settings(&mut tx, &account).await?,
        account,
        session,
        span: span.ok_or(SessionError::SessionEnded)?,
    })
}

/// The caller's account. A token outlives its session by minutes; here that session must still be
/// in force, and roles and stores are the present ones, as far as they hold in that session.
pub(crate) async fn caller(
    state: &AppState,
    tx: &mut Tx,
    principal: &Principal,
) -> Result<Account, SessionError> {
    let session = session_of(principal).ok_or(SessionError::SessionEnded)?;
    let now = state.clock.now();
    let account = match accounts::find_in_session(tx, session, now).await? {
        None if principal.token_type == TokenType::Delegated => {
            api_keys::account_of_key(tx, ApiKeyId::from_uuid(session.as_uuid()), now).await?
        }
        found => found,
    };
    let account = account.ok_or(SessionError::SessionEnded)?;
    if account.id.to_string() == principal.subject {
        Ok(acting(state, tx, account, session).await?.account)
    } else {
        Err(SessionError::SessionEnded)
    }
}

/// The caller, who is about to change how the account proves itself. Not at a terminal: what a PIN
/// opened ends with the turn and holds in one store, and such a change outlives it and reaches further.
pub(crate) async fn caller_off_terminal(
    state: &AppState,
    tx: &mut Tx,
    principal: &Principal,
) -> Result<Account, AccountError> {
    let account = caller(state, tx, principal).await?;
    let session = session_of(principal).ok_or(SessionError::SessionEnded)?;
    match pos_devices::find_store_of_session(tx, session).await? {
        Some(_store) => Err(AccountError::AtTerminal),
        None => Ok(account),
    }
}
