//! What each service is told and what is kept from it: its own secret and database, everybody's
//! addresses, and nobody else's secrets.

use contracts::services::ServiceName;
use secrecy::ExposeSecret as _;

use super::database::DatabasePlan;
use super::layout::{Layout, address_variables};
use super::secrets::{Owner, ROOT_VARIABLE, RootSecret};

/// What the launcher knows and divides among the services.
pub(super) struct Environment<'a> {
    /// Where everything is.
    pub layout: &'a Layout,
    /// The root of the service secrets.
    pub root: &'a RootSecret,
    /// The owner account.
    pub owner: &'a Owner,
}

/// What only user-service may see.
const USER_SERVICE_ONLY: [&str; 4] = [
    ROOT_VARIABLE,
    "USER__AUTH__SERVICE_ROOT_SECRET",
    "MARU_OWNER_EMAIL",
    "MARU_OWNER_PASSWORD",
];

impl Environment<'_> {
    /// The variables set for a service on top of the launcher's own.
    pub(super) fn variables_of(&self, service: ServiceName) -> Vec<(String, String)> {
        let mut variables = address_variables(self.layout);
        let mut set = |name: &str, value: &str| variables.push((name.to_owned(), value.to_owned()));
        let secret = self.root.of_service(service);
        set("MARU_SERVICE_SECRET", secret.expose_secret());
        if let Some(url) = self.layout.databases.url_of(service) {
            set("DATABASE_URL", &url);
        }
        if service == ServiceName::User {
            set(ROOT_VARIABLE, self.root.expose());
            if let Some(password) = &self.owner.password {
                set("MARU_OWNER_EMAIL", &self.owner.email);
                set("MARU_OWNER_PASSWORD", password.expose());
            }
        }
        variables
    }

    /// The launcher's variables that a service must not inherit.
    pub(super) fn hidden_from(&self, service: ServiceName) -> Vec<&'static str> {
        let owner_exists = self.owner.password.is_none();
        let hidden = USER_SERVICE_ONLY.into_iter().filter(|name| {
            service != ServiceName::User || (owner_exists && name.starts_with("MARU_OWNER"))
        });
        // Set but empty, it means the embedded profile here, and nothing to a service.
        let no_database = self.layout.databases == DatabasePlan::Embedded;
        hidden
            .chain(no_database.then_some("DATABASE_URL"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::database::SchemaPolicy;
    use crate::up::layout::LayoutOptions;
    use crate::up::variables::Variables;
    use std::collections::BTreeMap;

    #[test]
    fn each_service_gets_its_own_secret_and_only_user_service_the_root() {
        let keys = tempfile::tempdir().expect("a folder");
        let none = Variables::default();
        let options = LayoutOptions {
            port_base: Some(21_000),
            schemas: SchemaPolicy::Refuse,
        };
        let layout = Layout::resolve(&none, &options).expect("resolves");
        let root = RootSecret::obtain(&none, keys.path()).expect("made");
        let owner = Owner::obtain(&none, keys.path()).expect("made");
        let environment = Environment {
            layout: &layout,
            root: &root,
            owner: &owner,
        };
        let of = |service| -> BTreeMap<String, String> {
            environment.variables_of(service).into_iter().collect()
        };
        let (user, order) = (of(ServiceName::User), of(ServiceName::Order));
        assert_ne!(user["MARU_SERVICE_SECRET"], order["MARU_SERVICE_SECRET"]);
        assert_eq!(user[ROOT_VARIABLE], root.expose());
        assert!(user.contains_key("MARU_OWNER_PASSWORD"));
        assert!(!order.contains_key(ROOT_VARIABLE) && !order.contains_key("MARU_OWNER_PASSWORD"));
        assert!(
            environment
                .hidden_from(ServiceName::Order)
                .contains(&ROOT_VARIABLE)
        );
        assert_eq!(environment.hidden_from(ServiceName::User), ["DATABASE_URL"]);
        assert_eq!(order["PAYMENT_GRPC_URL"], "http://127.0.0.1:21109");
        assert_eq!(order["ORDER__SERVER__PORT"], "21004");
        assert!(!order.contains_key("DATABASE_URL"));
    }
}
