//! Registers applications of third parties.

use ::store::{StoreError, Tx};
use common::auth::{Principal, StoreClaim};
use secrecy::SecretString;

use super::client::{Client, ClientId, ServiceGrant, new_secret};
use super::scopes::Scopes;
use super::store::{clients, grants, service_sessions};
use crate::app::whoami::caller;
use crate::audit::{self, Entry};
use crate::domain::session::RevokeReason;
use crate::error::SessionError;
use crate::state::AppState;
use crate::store::sessions;

/// An application to register.
#[derive(Debug)]
pub(crate) struct NewClient {
    pub(crate) name: String,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) post_logout_redirect_uris: Vec<String>,
    pub(crate) scopes: Scopes,
    /// Whether it can keep a secret.
    pub(crate) kind: ClientKind,
    /// Where it acts for itself, if it does.
    pub(crate) service: Option<StoreClaim>,
}

/// Whether an application can keep a secret (RFC 6749, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientKind {
    Public,
    Confidential,
}

/// What is to become different; absent parts stay.
#[derive(Debug, Default)]
pub(crate) struct ClientChange {
    pub(crate) name: Option<String>,
    pub(crate) redirect_uris: Option<Vec<String>>,
    pub(crate) post_logout_redirect_uris: Option<Vec<String>>,
    pub(crate) scopes: Option<Scopes>,
    pub(crate) service: Option<StoreClaim>,
    pub(crate) disabled: Option<bool>,
}

/// Why an application was not registered, shown or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("there is no such application")]
    Unknown,
    /// The change was made from another version.
    #[error("the application has changed meanwhile")]
    Changed,
    #[error("the application has no secret")]
    NoSecret,
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl From<StoreError> for ClientError {
    fn from(error: StoreError) -> Self {
        Self::Session(error.into())
    }
}

/// Registers an application; the secret, if it has one, is not shown again.
pub(crate) async fn register(
    state: &AppState,
    principal: &Principal,
    new: NewClient,
) -> Result<(Client, Option<SecretString>), ClientError> {
    let now = state.clock.now();
    let (secret, secret_hash) = match new.kind {
        ClientKind::Public => (None, None),
        ClientKind::Confidential => {
            let (secret, hash) = new_secret();
            (Some(secret), Some(hash))
        }
    };
    let client = Client {
        id: ClientId::new(&state.clock),
        name: new.name,
        secret_hash,
        redirect_uris: new.redirect_uris,
        post_logout_redirect_uris: new.post_logout_redirect_uris,
        scopes: new.scopes,
        service: new
            .service
            .map(|stores| ServiceGrant::new(&state.clock, stores)),
        disabled: false,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let mut tx = state.db.begin().await?;
    let giver = caller(state, &mut tx, principal).await?;
    clients::insert(&mut tx, &client).await?;
    let entry = on_client(principal, "application.registered", &client);
    audit::record(state, &mut tx, entry.after(client_state(&client))).await?;
    tx.commit().await?;
    tracing::info!(client.id = %client.id, by.id = %giver.id, "registered an application");
    Ok((client, secret))
}

/// One application.
pub(crate) async fn read(
    state: &AppState,
    principal: &Principal,
    id: ClientId,
) -> Result<Client, ClientError> {
    let mut tx = state.db.read().await?;
    let _reader = caller(state, &mut tx, principal).await?;
    clients::find(&mut tx, id)
        .await?
        .ok_or(ClientError::Unknown)
}

/// Applications in the order of their registration, at most `limit`.
pub(crate) async fn list(
    state: &AppState,
    principal: &Principal,
    after: Option<ClientId>,
    limit: u32,
) -> Result<Vec<Client>, ClientError> {
    let mut tx = state.db.read().await?;
    let _reader = caller(state, &mut tx, principal).await?;
    Ok(clients::list(&mut tx, after, limit.into()).await?)
}

/// Changes an application, if it still has the version that the change was made from. Tokens with which
/// it acts for itself end; a disabled one loses every session in which it acts for somebody, too.
pub(crate) async fn change(
    state: &AppState,
    principal: &Principal,
    id: ClientId,
    from_version: i64,
    change: ClientChange,
) -> Result<Client, ClientError> {
    let mut tx = state.db.begin().await?;
    let giver = caller(state, &mut tx, principal).await?;
    let old = find_to_change(&mut tx, id).await?;
    if old.version != from_version {
        return Err(ClientError::Changed);
    }
    if change.service.is_some() && !old.is_confidential() {
        return Err(ClientError::NoSecret);
    }
    let before = client_state(&old);
    let new = Client {
        service: renew_service(state, &mut tx, &old, change.service).await?,
        name: change.name.unwrap_or(old.name),
        redirect_uris: change.redirect_uris.unwrap_or(old.redirect_uris),
        post_logout_redirect_uris: change
            .post_logout_redirect_uris
            .unwrap_or(old.post_logout_redirect_uris),
        scopes: change.scopes.unwrap_or(old.scopes),
        disabled: change.disabled.unwrap_or(old.disabled),
        version: old.version.saturating_add(1),
        updated_at: state.clock.now(),
        ..old
    };
    store_change(&mut tx, &new).await?;
    if new.disabled {
        end_sessions(state, &mut tx, id).await?;
    }
    let entry = on_client(principal, "application.changed", &new).before(before);
    audit::record(state, &mut tx, entry.after(client_state(&new))).await?;
    tx.commit().await?;
    tracing::info!(client.id = %id, by.id = %giver.id, "changed an application");
    Ok(new)
}

/// Gives an application another secret; the one before, and tokens with which the application acts for
/// itself, are refused from now on.
pub(crate) async fn renew_secret(
    state: &AppState,
    principal: &Principal,
    id: ClientId,
) -> Result<(Client, SecretString), ClientError> {
    let mut tx = state.db.begin().await?;
    let giver = caller(state, &mut tx, principal).await?;
    let old = find_to_change(&mut tx, id).await?;
    if !old.is_confidential() {
        return Err(ClientError::NoSecret);
    }
    let (secret, hash) = new_secret();
    let new = Client {
        service: renew_service(state, &mut tx, &old, None).await?,
        secret_hash: Some(hash),
        version: old.version.saturating_add(1),
        updated_at: state.clock.now(),
        ..old
    };
    store_change(&mut tx, &new).await?;
    let entry = on_client(principal, "application.secret_renewed", &new);
    audit::record(state, &mut tx, entry).await?;
    tx.commit().await?;
    tracing::info!(client.id = %id, by.id = %giver.id, "renewed an application's secret");
    Ok((new, secret))
}

/// Forgets an application and ends every session in which it acts for somebody.
pub(crate) async fn delete(
    state: &AppState,
    principal: &Principal,
    id: ClientId,
) -> Result<(), ClientError> {
    let mut tx = state.db.begin().await?;
    let giver = caller(state, &mut tx, principal).await?;
    let old = find_to_change(&mut tx, id).await?;
    end_sessions(state, &mut tx, id).await?;
    renew_service(state, &mut tx, &old, None).await?;
    if !clients::delete(&mut tx, id).await? {
        return Err(ClientError::Unknown);
    }
    let entry = on_client(principal, "application.deleted", &old);
    audit::record(state, &mut tx, entry.before(client_state(&old))).await?;
    tx.commit().await?;
    tracing::info!(client.id = %id, by.id = %giver.id, "deleted an application");
    Ok(())
}

fn on_client(principal: &Principal, action: &'static str, client: &Client) -> Entry {
    Entry::new(principal, action).on("application", client.id)
}

/// What the trail keeps of an application.
fn client_state(client: &Client) -> serde_json::Value {
    serde_json::json!({
        "redirect_uris": client.redirect_uris,
        "post_logout_redirect_uris": client.post_logout_redirect_uris,
        "scopes": client.scopes.names(),
        "service_stores": client.service.as_ref().map(|service| &service.stores),
        "disabled": client.disabled,
        "version": client.version,
    })
}

/// Locked, so that tokens which somebody gets, or gives back, in the same moment end with it.
async fn find_to_change(tx: &mut Tx, id: ClientId) -> Result<Client, ClientError> {
    let found = clients::find_locked(tx, id).await?;
    found.ok_or(ClientError::Unknown)
}

async fn store_change(tx: &mut Tx, client: &Client) -> Result<(), ClientError> {
    match clients::update(tx, client).await? {
        true => Ok(()),
        false => Err(ClientError::Changed),
    }
}

/// Ends the session in which an application acts for itself, and gives it another one: in these stores
/// or, when it is not about stores, where it was before.
async fn renew_service(
    state: &AppState,
    tx: &mut Tx,
    client: &Client,
    stores: Option<StoreClaim>,
) -> Result<Option<ServiceGrant>, StoreError> {
    let before = client.service.as_ref();
    if let Some(before) = before {
        service_sessions::end(tx, before.session, state.clock.now()).await?;
        state.revocations.follows(tx);
    }
    let stores = stores.or_else(|| before.map(|before| before.stores.clone()));
    Ok(stores.map(|stores| ServiceGrant::new(&state.clock, stores)))
}

async fn end_sessions(state: &AppState, tx: &mut Tx, id: ClientId) -> Result<(), ClientError> {
    let now = state.clock.now();
    for session in grants::list_sessions(tx, id, None).await? {
        sessions::revoke_session(tx, session, RevokeReason::Logout, now).await?;
    }
    state.revocations.follows(tx);
    Ok(())
}
