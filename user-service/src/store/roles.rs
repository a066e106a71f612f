//! Roles as the database spells them: as on the wire.

use common::auth::Role;

/// The one role that SQL texts name.
pub(super) const OWNER: &str = Role::Owner.as_str();

/// `None` for a role that only a newer program knows: it allows nothing here.
pub(super) fn parse(name: &str) -> Option<Role> {
    name.parse().ok()
}
