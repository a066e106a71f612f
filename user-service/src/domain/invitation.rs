//! An account that somebody may make.

use std::collections::BTreeSet;

use common::auth::Role;
use common::ids::{StoreId, UserId};
use common::time::Timestamp;

common::define_id! {
    /// An invitation.
    pub(crate) struct InvitationId;
}

/// An account that whoever reads the mails of an address may make.
#[derive(Clone, Debug)]
pub(crate) struct Invitation {
    pub(crate) id: InvitationId,
    pub(crate) email: String,
    pub(crate) display_name: String,
    pub(crate) role: Role,
    pub(crate) stores: BTreeSet<StoreId>,
    pub(crate) locale: String,
    pub(crate) invited_by: UserId,
    pub(crate) created_at: Timestamp,
    /// When the last mail was asked for.
    pub(crate) sent_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}
