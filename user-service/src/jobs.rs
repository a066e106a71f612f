//! What happens without being asked for. Each job may run in every replica at once.

use std::future::Future;
use std::time::Duration;

use actix_web::web;
use common::auth::MAX_TOKEN_LIFE;
use common::error::ErrorChain;
use common::settings::Profile;
use common::shutdown::Shutdown;
use contracts::events::MailRequested;

use crate::app::mfa::totp::CONFIRM_WITHIN;
use crate::app::{audit_trail, passwords, rotate_keys};
use crate::oidc::codes::MEMORY as USED_CODES_MEMORY;
use crate::oidc::store::{codes, service_sessions};
use crate::passkeys;
use crate::state::AppState;
use crate::store::{
    development_mails, factors, invitations, known_addresses, link_tokens, sessions,
};

const PURGE_INTERVAL: Duration = Duration::from_secs(3_600);
/// How late a key may be followed by the next one, which is published long before it signs.
const ROTATE_INTERVAL: Duration = Duration::from_secs(30);
/// Another replica's new key is known, and a withdrawn one no longer used, after this long.
const RELOAD_INTERVAL: Duration = Duration::from_secs(5);
const RELEASE_INTERVAL: Duration = Duration::from_secs(5);
/// How much of the end of the audit trail could be cut off unnoticed.
const SEAL_INTERVAL: Duration = Duration::from_secs(60);
/// A forgotten password that no replica was told of is looked up after this long.
const RESET_INTERVAL: Duration = Duration::from_secs(5);
/// An invitation that ran out is shown, and can be sent again, for this long.
const INVITATION_MEMORY: Duration = Duration::from_secs(30 * 24 * 3_600);
/// An address not used for this long is a stranger's again.
const ADDRESS_MEMORY: Duration = Duration::from_secs(90 * 24 * 3_600);

/// Starts all jobs; they end with `shutdown`.
pub(crate) fn start(state: &web::Data<AppState>, shutdown: &Shutdown) {
    let purge_state = state.clone();
    tokio::spawn(repeat(PURGE_INTERVAL, shutdown.clone(), move || {
        let state = purge_state.clone();
        async move {
            if let Err(error) = purge(&state).await {
                tracing::warn!(error = %ErrorChain(&error), "ended sessions could not be deleted");
            }
        }
    }));
    tokio::spawn(send_resets(state.clone(), shutdown.clone()));
    let hasher = state.hasher.clone();
    tokio::spawn(repeat(RELEASE_INTERVAL, shutdown.clone(), move || {
        hasher.release_unused_memory();
        std::future::ready(())
    }));
    let sealing = state.clone();
    tokio::spawn(repeat(SEAL_INTERVAL, shutdown.clone(), move || {
        let state = sealing.clone();
        async move {
            if let Err(error) = audit_trail::seal(&state).await {
                tracing::warn!(error = %ErrorChain(&error), "the audit trail could not be sealed");
            }
        }
    }));
    let rotating = state.clone();
    tokio::spawn(repeat(ROTATE_INTERVAL, shutdown.clone(), move || {
        let state = rotating.clone();
        async move {
            if let Err(error) = rotate_keys::rotate_if_due(&state).await {
                tracing::warn!(error = %ErrorChain(&error), "the signing key could not be replaced");
            }
        }
    }));
    let (keyring, verifier) = (state.keyring.clone(), state.verifier.clone());
    tokio::spawn(repeat(RELOAD_INTERVAL, shutdown.clone(), move || {
        let (keyring, verifier) = (keyring.clone(), verifier.clone());
        async move {
            if let Err(error) = keyring.reload().await {
                tracing::warn!(error = %ErrorChain(&error), "signing keys could not be read again");
            }
            verifier.use_keys(&keyring.published());
        }
    }));
}

/// Runs `job` after each interval, from the first one on.
async fn repeat<F: Future<Output = ()>>(
    interval: Duration,
    shutdown: Shutdown,
    job: impl Fn() -> F,
) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first tick comes at once; a start has better things to do.
    ticks.tick().await;
    loop {
        tokio::select! {
            () = shutdown.triggered() => return,
            _ = ticks.tick() => job().await,
        }
    }
}

/// Looks forgotten passwords up when one is written down, and now and then what a crash left behind.
/// Mails that were handed over are forgotten at the same time: links in them let their holder in.
async fn send_resets(state: web::Data<AppState>, shutdown: Shutdown) {
    while !shutdown.is_triggered() {
        if let Err(error) = passwords::send_waiting(&state).await {
            tracing::warn!(error = %ErrorChain(&error), "forgotten passwords could not be looked up");
        }
        if let Err(error) = forget_sent_mails(&state).await {
            tracing::warn!(error = %ErrorChain(&error), "sent mails could not be forgotten");
        }
        tokio::select! {
            () = shutdown.triggered() => {}
            () = state.reset_requests.notified() => {}
            () = tokio::time::sleep(RESET_INTERVAL) => {}
        }
    }
}

async fn forget_sent_mails(state: &AppState) -> Result<(), store::StoreError> {
    let mut tx = state.db.begin().await?;
    state.outbox.forget_sent::<MailRequested>(&mut tx).await?;
    if state.profile == Profile::Production {
        development_mails::delete_all(&mut tx).await?;
    }
    tx.commit().await
}

/// Deletes sessions that have ended, with their tokens, and forgets addresses not seen for long.
pub(crate) async fn purge(state: &AppState) -> Result<(), store::StoreError> {
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    let idle = now.minus(state.session_limits.idle);
    let ended = sessions::delete_ended(&mut tx, now, idle).await?;
    let unseen = known_addresses::delete_unseen(&mut tx, now.minus(ADDRESS_MEMORY)).await?;
    let credentials = [
        link_tokens::delete_expired(&mut tx, now).await?,
        factors::delete_expired(&mut tx, now).await?,
        factors::delete_unconfirmed(&mut tx, now.minus(CONFIRM_WITHIN)).await?,
        development_mails::delete_expired(&mut tx, now).await?,
        invitations::delete_expired(&mut tx, now.minus(INVITATION_MEMORY)).await?,
    ];
    service_sessions::delete_ended(&mut tx, now.minus(2 * MAX_TOKEN_LIFE)).await?;
    let codes = codes::delete_expired(&mut tx, now.minus(USED_CODES_MEMORY)).await?;
    let ceremonies = passkeys::delete_expired(&mut tx, now).await?;
    tx.commit().await?;
    tracing::debug!(
        credentials.deleted = credentials.iter().sum::<u64>(),
        codes.deleted = codes,
        ceremonies.deleted = ceremonies,
        sessions.deleted = ended,
        addresses.deleted = unseen,
        "purged"
    );
    Ok(())
}
