//! What a person may let another application do: permissions as OAuth scopes (RFC 6749, section 3.3).
//!
//! A permission that stands in no scope is never given to an application: accounts, applications and
//! the system itself are run by people.

use super::permissions::Permission;

/// A permission that an application can be given. Its text is the scope.
#[derive(Clone, Copy, Debug)]
pub struct PermissionScope {
    /// What the application may do, where the person may do it.
    pub permission: Permission,
    /// What that means, for the person who is asked.
    pub meaning: &'static str,
}

const fn scope(permission: Permission, meaning: &'static str) -> PermissionScope {
    PermissionScope {
        permission,
        meaning,
    }
}

const SCOPES: [PermissionScope; 14] = [
    scope(Permission::UsersRead, "See who works in your stores"),
    scope(Permission::MenuRead, "See stores and menus"),
    scope(Permission::MenuWrite, "Change stores and menus"),
    scope(Permission::OrdersRead, "See orders"),
    scope(Permission::OrdersCreate, "Place orders"),
    scope(Permission::OrdersCancel, "Cancel orders"),
    scope(Permission::InventoryRead, "See products and stock"),
    scope(
        Permission::InventoryWrite,
        "Receive, count and write off stock",
    ),
    scope(Permission::CatalogWrite, "Change products and recipes"),
    scope(Permission::PaymentsRead, "See payments and the ledger"),
    scope(Permission::PaymentsRefund, "Refund payments"),
    scope(Permission::AnalyticsRead, "See reports"),
    scope(Permission::DevicesRead, "See devices and their readings"),
    scope(Permission::DevicesWrite, "Register and change devices"),
];

/// Every permission that an application can be given.
#[must_use]
pub const fn permission_scopes() -> &'static [PermissionScope] {
    &SCOPES
}

/// Whether an application can be given this permission.
pub(super) fn can_be_delegated(permission: Permission) -> bool {
    SCOPES.iter().any(|scope| scope.permission == permission)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_application_runs_accounts_keys_applications_or_the_system() {
        for permission in [
            Permission::UsersWrite,
            Permission::SessionsRevoke,
            Permission::ApiKeysWrite,
            Permission::AuditRead,
            Permission::KeysRotate,
            Permission::OrdersImport,
            Permission::ApplicationsManage,
            Permission::SystemOperate,
        ] {
            assert!(!can_be_delegated(permission), "{permission}");
        }
        assert!(can_be_delegated(Permission::OrdersRead));
    }
}
