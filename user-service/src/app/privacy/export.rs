//! Everything that this service holds of a person (GDPR, article 15; PIPA, article 35).

use std::collections::BTreeSet;

use common::auth::{Principal, Role};
use common::ids::{StoreId, UserId};
use common::time::Timestamp;
use serde::Serialize;
use store::Tx;
use utoipa::ToSchema;

use crate::app::accounts;
use crate::app::whoami::caller;
use crate::audit;
use crate::domain::account::Account;
use crate::domain::session::SessionId;
use crate::error::{AccountError, CredentialError};
use crate::state::AppState;
use crate::store::personal::{
    self, ConsentRow, InvitationRow, KeyRow, LinkRow, PasskeyRow, SessionRow,
};
use crate::store::{accounts as rows, factors, known_addresses, pos_devices, profiles};

/// Everything of one person. Secrets are only said to be there: nobody, the person included, can
/// read a password, a PIN or a code back.
#[derive(Serialize, ToSchema)]
pub(crate) struct Export {
    /// When this was true.
    exported_at: Timestamp,
    id: UserId,
    email: String,
    email_verified_at: Option<Timestamp>,
    display_name: String,
    locale: Option<String>,
    roles: BTreeSet<Role>,
    stores: BTreeSet<StoreId>,
    disabled: bool,
    erased_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// When a generator of codes was added, if there is one.
    totp_since: Option<Timestamp>,
    recovery_codes_left: i64,
    /// When the PIN was chosen, if there is one.
    pin_since: Option<Timestamp>,
    sessions: Vec<SessionExport>,
    /// When the account signed in last from each of the addresses it is known at; the addresses
    /// themselves are not stored.
    known_addresses_seen_at: Vec<Timestamp>,
    links: Vec<LinkExport>,
    invitations_given: Vec<InvitationExport>,
    api_keys: Vec<KeyExport>,
    passkeys: Vec<PasskeyExport>,
    consents: Vec<ConsentExport>,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionExport {
    id: SessionId,
    created_at: Timestamp,
    last_used_at: Timestamp,
    expires_at: Timestamp,
    revoked_at: Option<Timestamp>,
    revoke_reason: Option<String>,
    /// The store of the terminal it was opened at, if it was.
    store_id: Option<StoreId>,
    /// What it was opened with.
    device: Option<String>,
    /// Where from.
    address: Option<String>,
}

/// A link that was mailed and not used yet.
#[derive(Serialize, ToSchema)]
pub(crate) struct LinkExport {
    purpose: String,
    email: String,
    created_at: Timestamp,
    expires_at: Timestamp,
}

/// An open invitation that the person gave.
#[derive(Serialize, ToSchema)]
pub(crate) struct InvitationExport {
    email: String,
    display_name: String,
    created_at: Timestamp,
}

/// An API key, revoked or not.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyExport {
    name: String,
    prefix: String,
    created_at: Timestamp,
    expires_at: Timestamp,
    last_used_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

/// A passkey.
#[derive(Serialize, ToSchema)]
pub(crate) struct PasskeyExport {
    name: String,
    created_at: Timestamp,
    last_used_at: Option<Timestamp>,
}

/// What an application may do for the person.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConsentExport {
    application: String,
    scopes: Vec<String>,
    granted_at: Timestamp,
}

/// Everything of an account, for an owner.
pub(crate) async fn export(
    state: &AppState,
    principal: &Principal,
    id: UserId,
) -> Result<Export, CredentialError> {
    let visible = accounts::read(state, principal, id).await?;
    let mut tx = state.db.begin().await?;
    let entry = audit::on_account(principal, "account.exported", &visible);
    let export = gather(state, &mut tx, visible).await?;
    audit::record(state, &mut tx, entry).await?;
    tx.commit().await?;
    Ok(export)
}

/// Everything of the caller's own account.
pub(crate) async fn export_own(
    state: &AppState,
    principal: &Principal,
) -> Result<Export, CredentialError> {
    let mut tx = state.db.read().await?;
    let id = caller(state, &mut tx, principal).await?.id;
    // The whole account, not the part that this session may use.
    let account = rows::find_account(&mut tx, id).await?;
    gather(state, &mut tx, account.ok_or(AccountError::Unknown)?).await
}

async fn gather(
    state: &AppState,
    tx: &mut Tx,
    account: Account,
) -> Result<Export, CredentialError> {
    let id = account.id;
    let profile = profiles::find_profile(tx, id).await?;
    let profile = profile.ok_or(AccountError::Unknown)?;
    let totp = factors::find_totp(tx, id).await?;
    let sessions = personal::list_sessions(tx, id).await?;
    let links = personal::list_links(tx, id).await?;
    let given = personal::list_invitations_given(tx, id).await?;
    let keys = personal::list_api_keys(tx, id).await?;
    let passkeys = personal::list_passkeys(tx, id).await?;
    let consents = personal::list_consents(tx, id).await?;
    Ok(Export {
        exported_at: state.clock.now(),
        id,
        email: account.email,
        email_verified_at: profile.email_verified_at,
        display_name: account.display_name,
        locale: profile.locale,
        roles: account.roles,
        stores: account.stores,
        disabled: account.disabled,
        erased_at: profile.erased_at,
        created_at: account.created_at,
        updated_at: account.updated_at,
        totp_since: totp.map(|totp| totp.created_at),
        recovery_codes_left: factors::count_recovery_codes(tx, id).await?,
        pin_since: pos_devices::find_pin_time(tx, id).await?,
        sessions: sessions.into_iter().map(SessionExport::from).collect(),
        known_addresses_seen_at: known_addresses::list_times(tx, id).await?,
        links: links.into_iter().map(LinkExport::from).collect(),
        invitations_given: given.into_iter().map(InvitationExport::from).collect(),
        api_keys: keys.into_iter().map(KeyExport::from).collect(),
        passkeys: passkeys.into_iter().map(PasskeyExport::from).collect(),
        consents: consents.into_iter().map(ConsentExport::from).collect(),
    })
}

impl From<SessionRow> for SessionExport {
    fn from(row: SessionRow) -> Self {
        Self {
            id: row.id,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            revoke_reason: row.revoke_reason,
            store_id: row.store_id,
            device: row.device,
            address: row.address,
        }
    }
}

impl From<LinkRow> for LinkExport {
    fn from(row: LinkRow) -> Self {
        Self {
            purpose: row.purpose,
            email: row.email,
            created_at: row.created_at,
            expires_at: row.expires_at,
        }
    }
}

impl From<InvitationRow> for InvitationExport {
    fn from(row: InvitationRow) -> Self {
        Self {
            email: row.email,
            display_name: row.display_name,
            created_at: row.created_at,
        }
    }
}

impl From<KeyRow> for KeyExport {
    fn from(row: KeyRow) -> Self {
        Self {
            name: row.name,
            prefix: row.prefix,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
        }
    }
}

impl From<PasskeyRow> for PasskeyExport {
    fn from(row: PasskeyRow) -> Self {
        Self {
            name: row.name,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
        }
    }
}

impl From<ConsentRow> for ConsentExport {
    fn from(row: ConsentRow) -> Self {
        Self {
            application: row.application,
            scopes: row.scopes.0,
            granted_at: row.granted_at,
        }
    }
}
