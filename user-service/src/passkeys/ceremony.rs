//! Registration and sign-in, each in two steps: options for the device, then its answer.

use std::time::Duration;

use common::auth::Principal;
use common::ids::UserId;
use serde::{Deserialize, Serialize};
use webauthn_rs::prelude::{
    CreationChallengeResponse, DiscoverableAuthentication, PublicKeyCredential,
    RegisterPublicKeyCredential, RequestChallengeResponse,
};
use webauthn_rs_proto::ResidentKeyRequirement;

use super::store::{self, Passkey, PasskeyId, TakenRegistration};
use super::{CEREMONY_LIFE, CeremonyId, MAX_PASSKEYS, PasskeyError};
use crate::app::log_in::{self, Tokens};
use crate::app::mfa;
use crate::app::reauth::{Reauth, confirm_password};
use crate::app::whoami::{caller, caller_off_terminal};
use crate::audit;
use crate::client_address::ClientAddress;
use crate::domain::email::Email;
use crate::error::SessionError;
use crate::state::AppState;
use crate::store::accounts;
use crate::tickets::{ANYBODY, Stub};

/// The state of a sign-in, as the client keeps it. It holds no secret: the challenge is what the
/// device is asked to sign.
#[derive(Serialize, Deserialize)]
struct LoginTicket {
    id: CeremonyId,
    state: DiscoverableAuthentication,
}

impl Stub for LoginTicket {
    const PURPOSE: &'static str = "passkey";
    const LIFE: Duration = CEREMONY_LIFE;
}

/// Begins the registration of a passkey for the caller, who proves the password once more: a passkey
/// lets its holder in for good.
pub(crate) async fn start_registration(
    state: &AppState,
    principal: &Principal,
    reauth: Reauth,
) -> Result<(CeremonyId, CreationChallengeResponse), PasskeyError> {
    let mut tx = state.db.read().await?;
    let account = caller_off_terminal(state, &mut tx, principal).await?;
    drop(tx);
    drop(confirm_password(state, &account, reauth).await?);
    let mut tx = state.db.begin().await?;
    let account = caller(state, &mut tx, principal).await?;
    let known = store::list(&mut tx, account.id).await?;
    if known.len() >= MAX_PASSKEYS {
        return Err(PasskeyError::TooMany);
    }
    let exclude = known.iter().map(|passkey| passkey.key.cred_id().clone());
    let begun = state.passkeys.0.start_passkey_registration(
        account.id.as_uuid(),
        &account.email,
        &account.display_name,
        Some(exclude.collect()),
    );
    let (mut options, registration) = begun.map_err(PasskeyError::ceremony)?;
    // Discoverable: whoever signs in with it need not say who they are first.
    if let Some(selection) = &mut options.public_key.authenticator_selection {
        selection.resident_key = Some(ResidentKeyRequirement::Required);
        selection.require_resident_key = true;
    }
    let id = CeremonyId::new(&state.clock);
    let expires_at = state.clock.now().plus(CEREMONY_LIFE);
    store::insert_registration(&mut tx, id, account.id, &registration, expires_at).await?;
    tx.commit().await?;
    Ok((id, options))
}

/// Registers the passkey that a device has made.
pub(crate) async fn finish_registration(
    state: &AppState,
    principal: &Principal,
    id: CeremonyId,
    name: String,
    answer: &RegisterPublicKeyCredential,
) -> Result<Passkey, PasskeyError> {
    let begun = take(state, id).await?;
    let key = state
        .passkeys
        .0
        .finish_passkey_registration(answer, &begun.state);
    let key = key.map_err(PasskeyError::refused)?;
    let mut tx = state.db.begin().await?;
    let account = caller_off_terminal(state, &mut tx, principal).await?;
    if begun.user != account.id {
        return Err(PasskeyError::NoCeremony);
    }
    if store::list(&mut tx, account.id).await?.len() >= MAX_PASSKEYS {
        return Err(PasskeyError::TooMany);
    }
    let passkey = Passkey {
        id: PasskeyId::new(&state.clock),
        user: account.id,
        name,
        key,
        created_at: state.clock.now(),
        last_used_at: None,
    };
    if !store::insert(&mut tx, &passkey).await? {
        return Err(PasskeyError::Taken);
    }
    mfa::tell(state, &mut tx, &account, "passkey_added").await?;
    let entry = audit::on_account(principal, "passkey.registered", &account);
    let state_after = serde_json::json!({"passkey": passkey.id});
    audit::record(state, &mut tx, entry.after(state_after)).await?;
    tx.commit().await?;
    tracing::info!(user.id = %account.id, passkey.id = %passkey.id, "registered a passkey");
    Ok(passkey)
}

/// Begins a sign-in of whoever has a passkey. Nothing is kept of it: who asks for many costs nobody
/// anything.
pub(crate) fn start_login(
    state: &AppState,
) -> Result<(String, RequestChallengeResponse), PasskeyError> {
    let begun = state.passkeys.0.start_discoverable_authentication();
    let (mut options, authentication) = begun.map_err(PasskeyError::ceremony)?;
    // The page decides whether to offer passkeys in a field or behind a button.
    options.mediation = None;
    let ticket = LoginTicket {
        id: CeremonyId::new(&state.clock),
        state: authentication,
    };
    let ticket = state.tickets.sign(ANYBODY, ticket, state.clock.now());
    Ok((ticket, options))
}

/// Signs in whoever the device vouches for, in the ceremony that `ticket` is of.
pub(crate) async fn finish_login(
    state: &AppState,
    ticket: &str,
    answer: &PublicKeyCredential,
    address: ClientAddress,
) -> Result<Tokens, PasskeyError> {
    let outcome = try_finish_login(state, ticket, answer, address).await;
    let label = match &outcome {
        Ok(_) => "succeeded",
        Err(PasskeyError::Refused(_) | PasskeyError::NoCeremony | PasskeyError::Unknown) => {
            "refused"
        }
        Err(_) => "failed",
    };
    metrics::counter!("user_passkey_logins_total", "outcome" => label).increment(1);
    outcome
}

async fn try_finish_login(
    state: &AppState,
    ticket: &str,
    answer: &PublicKeyCredential,
    address: ClientAddress,
) -> Result<Tokens, PasskeyError> {
    let now = state.clock.now();
    let begun = state.tickets.read::<LoginTicket>(ANYBODY, ticket, now);
    let begun = begun.map_err(|_altered| PasskeyError::NoCeremony)?;
    let webauthn = &state.passkeys.0;
    let identified = webauthn.identify_discoverable_authentication(answer);
    let (user, credential_id) = identified.map_err(PasskeyError::refused)?;
    let mut tx = state.db.begin().await?;
    let found = store::find_by_credential_locked(&mut tx, credential_id).await?;
    let found = found.filter(|passkey| passkey.user == UserId::from_uuid(user));
    let mut passkey = found.ok_or(PasskeyError::Unknown)?;
    // Requires that the device verified its person, and that its counter went up.
    let proved = webauthn.finish_discoverable_authentication_v2(answer, begun.state, &passkey.key);
    let proved = proved.map_err(PasskeyError::refused)?;
    // The next one that brings this ticket finds it used, as long as it is good.
    if !store::use_login(&mut tx, begun.id, now.plus(CEREMONY_LIFE)).await? {
        return Err(PasskeyError::NoCeremony);
    }
    let _changed = passkey.key.update_credential(&proved);
    passkey.last_used_at = Some(now);
    store::update_after_use(&mut tx, &passkey).await?;
    let account = accounts::find_account(&mut tx, passkey.user).await?;
    let account = account.ok_or(PasskeyError::Unknown)?;
    tx.commit().await?;
    let email_key = Email::parse(&account.email).map_or_else(String::new, |email| email.key());
    let attempt = state.throttle.attempt(&email_key, address);
    Ok(log_in::admit_proved(state, &attempt, account.id).await?)
}

/// Takes the state of a registration, which is gone afterwards whatever becomes of it.
async fn take(state: &AppState, id: CeremonyId) -> Result<TakenRegistration, PasskeyError> {
    let mut tx = state.db.begin().await?;
    let taken = store::take_registration(&mut tx, id, state.clock.now()).await?;
    tx.commit().await?;
    taken.ok_or(PasskeyError::NoCeremony)
}

impl From<PasskeyError> for SessionError {
    /// On a page whoever may not sign in learns nothing of why.
    fn from(error: PasskeyError) -> Self {
        match error {
            PasskeyError::Session(error) => error,
            _ => Self::BadCredentials,
        }
    }
}
