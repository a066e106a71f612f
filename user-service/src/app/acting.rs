//! How an account may act in a session: with less than it has, where the session is bound to a store
//! or a second factor that is required is missing.

use common::ids::StoreId;
use store::{StoreError, Tx};

use super::mfa;
use crate::domain::account::Account;
use crate::domain::session::SessionId;
use crate::state::AppState;
use crate::store::pos_devices;

/// An account with what it may do in one session.
pub(crate) struct Acting {
    pub(crate) account: Account,
    /// Its roles are withheld until it has a second factor.
    pub(crate) mfa_enrolment_required: bool,
}

/// The account as it may act in this session now. Everything that makes a token or acts for one goes
/// through here.
pub(crate) async fn acting(
    state: &AppState,
    tx: &mut Tx,
    account: Account,
    session: SessionId,
) -> Result<Acting, StoreError> {
    let store = pos_devices::find_store_of_session(tx, session).await?;
    acting_at(state, tx, account, store).await
}

/// The same where it is known to which store the session is bound, if to any.
pub(crate) async fn acting_at(
    state: &AppState,
    tx: &mut Tx,
    account: Account,
    store: Option<StoreId>,
) -> Result<Acting, StoreError> {
    let mfa_enrolment_required = mfa::is_missing(state, tx, &account).await?;
    let account = match store {
        Some(store) => account.at_store(store),
        None => account,
    };
    Ok(Acting::new(account, mfa_enrolment_required))
}

impl Acting {
    /// The account, without roles as long as it must first enrol a second factor.
    pub(super) fn new(account: Account, mfa_enrolment_required: bool) -> Self {
        Self {
            account: if mfa_enrolment_required {
                account.without_roles()
            } else {
                account
            },
            mfa_enrolment_required,
        }
    }
}
