//! Roles as the database spells them.

use common::auth::Role;

const NAMES: [(Role, &str); 5] = [
    (Role::Owner, OWNER),
    (Role::AreaManager, "area_manager"),
    (Role::StoreManager, "store_manager"),
    (Role::Crew, "crew"),
    (Role::Kiosk, "kiosk"),
];

/// The one role that SQL texts name.
pub(super) const OWNER: &str = "owner";

pub(super) fn name(role: Role) -> &'static str {
    let known = NAMES.iter().find(|(known, _)| *known == role);
    known.expect("every role has a name; a test holds this").1
}

/// `None` for a role that only a newer program knows: it allows nothing here.
pub(super) fn parse(name: &str) -> Option<Role> {
    let known = NAMES.iter().find(|(_, known)| *known == name);
    known.map(|(role, _)| *role)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_is_spelled_as_on_the_wire_and_reads_back() {
        for (role, spelling) in NAMES {
            assert_eq!(serde_json::to_value(role).unwrap(), spelling);
            assert_eq!((name(role), parse(spelling)), (spelling, Some(role)));
        }
        // Adding a role makes this match incomplete, and NAMES with it.
        let _ = |role: Role| match role {
            Role::Owner | Role::AreaManager | Role::StoreManager | Role::Crew | Role::Kiosk => (),
        };
        assert_eq!(parse("janitor"), None);
    }
}
