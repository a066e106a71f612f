//! Who may give what to whom.

use std::collections::BTreeSet;

use common::auth::{Role, StoreScope};
use common::ids::StoreId;

use super::account::Account;

/// What an account may hand on: an owner anything, anybody else only what they have themselves.
pub(crate) struct Authority<'a> {
    roles: &'a BTreeSet<Role>,
    scope: StoreScope,
}

/// A role or store that the account does not have itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account cannot give or take what it does not have itself")]
pub(crate) struct NotHeld;

impl<'a> Authority<'a> {
    /// What `account` may hand on.
    pub(crate) fn of(account: &'a Account) -> Self {
        Self {
            roles: &account.roles,
            scope: account.scope(),
        }
    }

    /// Refuses roles and stores that are not this account's to give or take.
    pub(crate) fn require(
        &self,
        roles: &BTreeSet<Role>,
        stores: &BTreeSet<StoreId>,
    ) -> Result<(), NotHeld> {
        let holds_role = |role| self.roles.contains(&Role::Owner) || self.roles.contains(role);
        let holds_store = |store: &StoreId| self.scope.contains(*store);
        if roles.iter().all(holds_role) && stores.iter().all(holds_store) {
            Ok(())
        } else {
            Err(NotHeld)
        }
    }

    /// Refuses to give a role that is not below this account's own, and stores that are not its own.
    /// An owner gives every role; who else gives one says where it holds.
    pub(crate) fn require_below(
        &self,
        role: Role,
        stores: &BTreeSet<StoreId>,
    ) -> Result<(), NotHeld> {
        let below = self.roles.iter().any(|own| rank(*own) > rank(role));
        let own_stores = stores.iter().all(|store| self.scope.contains(*store));
        let everywhere = self.roles.contains(&Role::Owner);
        if everywhere || (below && own_stores && !stores.is_empty()) {
            Ok(())
        } else {
            Err(NotHeld)
        }
    }
}

/// Who stands above whom; terminals and programs below everybody.
const fn rank(role: Role) -> u8 {
    match role {
        Role::Owner => 4,
        Role::AreaManager => 3,
        Role::StoreManager => 2,
        Role::Crew => 1,
        Role::Kiosk | Role::Device | Role::Plugin | Role::Service => 0,
    }
}

/// Whether somebody with the roles `one` may look after somebody with the roles `other`: nobody above
/// themselves. Roles are ordered from the one that may do most.
pub(crate) fn looks_after(one: &BTreeSet<Role>, other: &BTreeSet<Role>) -> bool {
    match (one.first(), other.first()) {
        (Some(highest), Some(other)) => highest <= other,
        (highest, None) => highest.is_some(),
        (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use common::clock::Clock;
    use common::ids::UserId;
    use common::time::Timestamp;

    use super::*;

    #[test]
    fn nobody_looks_after_somebody_above() {
        let check = |higher: Role, lower: &[Role], expected| {
            let lower = lower.iter().copied().collect();
            assert_eq!(
                looks_after(&[higher].into(), &lower),
                expected,
                "{higher} {lower:?}"
            );
        };
        check(Role::Owner, &[Role::Owner], true);
        check(Role::StoreManager, &[Role::Crew, Role::Kiosk], true);
        check(Role::StoreManager, &[Role::StoreManager], true);
        check(Role::StoreManager, &[Role::Crew, Role::AreaManager], false);
        check(Role::AreaManager, &[Role::Owner], false);
        check(Role::Crew, &[Role::StoreManager], false);
        check(Role::Kiosk, &[], true);
    }

    #[test]
    fn people_invite_those_below_them_to_their_own_stores() {
        let clock = Clock::manual(Timestamp::from_unix_seconds(1_700_000_000));
        let (own, foreign) = (StoreId::new(&clock), StoreId::new(&clock));
        let check = |giver, role, stores: &[StoreId], expected: bool| {
            let giver = BTreeSet::from([giver]);
            let authority = Authority {
                roles: &giver,
                scope: match giver.contains(&Role::Owner) {
                    true => StoreScope::All,
                    false => StoreScope::Only(vec![own]),
                },
            };
            let stores = stores.iter().copied().collect();
            let verdict = authority.require_below(role, &stores);
            assert_eq!(verdict.is_ok(), expected, "{giver:?} {role:?} {stores:?}");
        };
        check(Role::Owner, Role::Owner, &[], true);
        check(Role::Owner, Role::Crew, &[foreign], true);
        check(Role::AreaManager, Role::StoreManager, &[own], true);
        check(Role::AreaManager, Role::AreaManager, &[own], false);
        check(Role::StoreManager, Role::Crew, &[own], true);
        check(Role::StoreManager, Role::Kiosk, &[own], true);
        check(Role::StoreManager, Role::StoreManager, &[own], false);
        check(Role::StoreManager, Role::Owner, &[own], false);
        check(Role::StoreManager, Role::Crew, &[foreign], false);
        check(Role::StoreManager, Role::Crew, &[own, foreign], false);
        check(Role::StoreManager, Role::Crew, &[], false);
        check(Role::Crew, Role::Crew, &[own], false);
    }

    #[test]
    fn nobody_gives_what_they_do_not_have() {
        let clock = Clock::manual(Timestamp::from_unix_seconds(1_700_000_000));
        let (own, foreign) = (StoreId::new(&clock), StoreId::new(&clock));
        let account = |role| Account {
            id: UserId::new(&clock),
            email: "a@b".to_owned(),
            display_name: "A".to_owned(),
            roles: [role].into(),
            stores: [own].into(),
            disabled: false,
            version: 1,
            created_at: clock.now(),
            updated_at: clock.now(),
        };
        let check = |giver, roles: &[Role], stores: &[StoreId], expected| {
            let roles = roles.iter().copied().collect();
            let stores = stores.iter().copied().collect();
            let giver = account(giver);
            let verdict = Authority::of(&giver).require(&roles, &stores);
            assert_eq!(verdict, expected, "{:?} {roles:?} {stores:?}", giver.roles);
        };
        check(Role::Owner, &[Role::Owner, Role::Crew], &[foreign], Ok(()));
        check(Role::StoreManager, &[Role::StoreManager], &[own], Ok(()));
        check(Role::StoreManager, &[Role::Owner], &[own], Err(NotHeld));
        check(Role::StoreManager, &[Role::AreaManager], &[], Err(NotHeld));
        check(Role::StoreManager, &[], &[own, foreign], Err(NotHeld));
        check(Role::Crew, &[Role::StoreManager], &[], Err(NotHeld));
    }
}
