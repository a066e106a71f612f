//! The one table of who may do what.

use serde::{Deserialize, Serialize};

/// What an account is in the chain. Roles other than `Owner` hold for the stores of the account.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the chain: everything, everywhere.
    Owner,
    /// Runs several stores.
    AreaManager,
    /// Runs one store.
    StoreManager,
    /// Works in a store.
    Crew,
    /// A self-order terminal.
    Kiosk,
}

/// One thing that an account may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// List and read accounts.
    UsersRead,
    /// Create and change accounts.
    UsersWrite,
    /// Read stores and menus.
    MenuRead,
    /// Create and change stores and menus.
    MenuWrite,
    /// Read orders.
    OrdersRead,
    /// Place orders.
    OrdersCreate,
    /// Cancel confirmed orders.
    OrdersCancel,
    /// Load historical orders.
    OrdersImport,
    /// Read products, recipes, stock, movements.
    InventoryRead,
    /// Receive, count and write off stock.
    InventoryWrite,
    /// Change products and recipes.
    CatalogWrite,
    /// Read payments and the ledger.
    PaymentsRead,
    /// Refund payments.
    PaymentsRefund,
    /// Read reports.
    AnalyticsRead,
    /// Read devices and readings.
    DevicesRead,
    /// Register and change devices.
    DevicesWrite,
    /// See the state of the system, parked events included, and re-drive them.
    SystemOperate,
}

impl Role {
    /// Whether this role may do that.
    #[must_use]
    pub fn allows(self, permission: Permission) -> bool {
        use Permission::{
            AnalyticsRead, DevicesRead, DevicesWrite, InventoryRead, InventoryWrite, MenuRead,
            OrdersCancel, OrdersCreate, OrdersRead, PaymentsRead, PaymentsRefund, UsersRead,
        };
        match self {
            Self::Owner => true,
            Self::AreaManager | Self::StoreManager => matches!(
                permission,
                UsersRead
                    | MenuRead
                    | OrdersRead
                    | OrdersCreate
                    | OrdersCancel
                    | InventoryRead
                    | InventoryWrite
                    | PaymentsRead
                    | PaymentsRefund
                    | AnalyticsRead
                    | DevicesRead
                    | DevicesWrite
            ),
            Self::Crew => matches!(
                permission,
                MenuRead | OrdersRead | OrdersCreate | InventoryRead | InventoryWrite | DevicesRead
            ),
            Self::Kiosk => matches!(permission, MenuRead | OrdersCreate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_changes_accounts_and_loads_history() {
        for role in [
            Role::AreaManager,
            Role::StoreManager,
            Role::Crew,
            Role::Kiosk,
        ] {
            for permission in [
                Permission::UsersWrite,
                Permission::OrdersImport,
                Permission::SystemOperate,
            ] {
                assert!(!role.allows(permission), "{role:?} {permission:?}");
            }
        }
        assert!(Role::Owner.allows(Permission::UsersWrite));
    }
}
