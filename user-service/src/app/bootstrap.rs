//! Makes the owner account when there is no account yet, or lets its holder in again.

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::auth::Role;
use common::ids::UserId;
use common::settings::Profile;
use secrecy::{ExposeSecret, SecretString};

use super::recover_owner::recover_owner_if_asked;
use crate::audit;
use crate::domain::account::Account;
use crate::domain::email::Email;
use crate::domain::password;
use crate::keys::random;
use crate::settings::OwnerSettings;
use crate::state::AppState;
use crate::store::accounts;

/// 18 bytes are 24 characters of base64url, 144 bits.
const GENERATED_BYTES: usize = 18;
const DISPLAY_NAME: &str = "Owner";

/// Does what the settings ask for the owner account at a start.
pub(crate) async fn settle_owner(
    state: &AppState,
    settings: &OwnerSettings,
    profile: Profile,
) -> anyhow::Result<()> {
    ensure_owner(state, settings, profile).await?;
    recover_owner_if_asked(state, settings).await
}

/// Makes the owner account when there is no account at all. Of replicas that start at once, one
/// makes it. Later changes of the settings change no account.
///
/// Without a given password, development makes one and logs it, this once; production fails.
async fn ensure_owner(
    state: &AppState,
    settings: &OwnerSettings,
    profile: Profile,
) -> anyhow::Result<()> {
    let mut tx = state.db.read().await?;
    let exists = accounts::any_account(&mut tx).await?;
    drop(tx);
    if exists {
        return Ok(());
    }
    let email = Email::parse(&settings.email)
        .with_context(|| format!("owner.email: {:?} is not an email address", settings.email))?;
    let generated = settings.password.expose_secret().is_empty();
    let chosen = match (generated, profile) {
        (true, Profile::Production) => bail!(
            "there is no account yet: set MARU_OWNER_PASSWORD (owner.password) for the first start"
        ),
        (true, Profile::Development) => {
            SecretString::from(URL_SAFE_NO_PAD.encode(random::<GENERATED_BYTES>()))
        }
        (false, _) => settings.password.clone(),
    };
    if let Err(fault) = password::judge_new(chosen.expose_secret(), Some(&email)) {
        bail!("owner.password (MARU_OWNER_PASSWORD) {fault}");
    }
    let made = insert_owner(state, &email, chosen.clone()).await?;
    if made && generated {
        // The one place where a password is logged: nobody could sign in otherwise.
        tracing::warn!(
            "made the owner account {} with the password {} (shown this once)",
            email.as_str(),
            chosen.expose_secret()
        );
    } else if made {
        tracing::info!("made the owner account");
    }
    Ok(())
}

async fn insert_owner(
    state: &AppState,
    email: &Email,
    chosen: SecretString,
) -> anyhow::Result<bool> {
    let turn = state.hasher.turn().await?;
    let (_turn, hash) = turn.hash(chosen).await?;
    let now = state.clock.now();
    let owner = Account {
        id: UserId::new(&state.clock),
        email: email.as_str().to_owned(),
        display_name: DISPLAY_NAME.to_owned(),
        roles: [Role::Owner].into(),
        stores: [].into(),
        disabled: false,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let mut tx = state.db.begin().await?;
    if accounts::any_account(&mut tx).await? {
        return Ok(false);
    }
    let made = accounts::insert_account(&mut tx, &owner, &email.key(), &hash).await?;
    let entry = audit::on_account(audit::Actor::System, "account.created", &owner);
    audit::record(state, &mut tx, entry.after(audit::account_state(&owner))).await?;
    tx.commit().await?;
    Ok(made)
}
