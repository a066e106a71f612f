//! Who is let in.

use common::auth::{Role, StoreClaim};

use super::answer::Expect;
use super::document::{Access, Document, Operation};
use super::runner::Runner;
use super::sample::Fill;

impl Runner<'_> {
    pub(super) async fn auth_cases(&mut self, document: &Document, operation: &Operation) {
        for attack in self.settings.identity.attacks() {
            // What needs no token must not mind a bad one, and must not fail on it either.
            let expect = match operation.access {
                Access::Public => Expect::Orderly,
                Access::User | Access::OpenId | Access::Service | Access::Operator => {
                    Expect::OneOf(&[401])
                }
            };
            let good = self.good_case(document, operation, Fill::Required);
            let mut case = good.header("authorization", &attack.authorization);
            match attack.elsewhere {
                Some(("?", token)) => {
                    let joint = if case.target.contains('?') { '&' } else { '?' };
                    case.target = format!("{}{joint}access_token={token}", case.target);
                }
                Some((name, value)) => case.headers.push((name.to_owned(), value)),
                None => {}
            }
            self.send(case.named(attack.name, expect)).await;
        }
        let identity = self.settings.identity.clone();
        let (name, wrong_kind) = match operation.access {
            Access::Public => return,
            Access::User => ("a service's token", identity.service("order")),
            Access::OpenId => ("an owner's token", identity.owner()),
            Access::Service => ("an owner's token", identity.owner()),
            Access::Operator => (
                "a manager's token",
                identity.user(&[Role::StoreManager], StoreClaim::ALL),
            ),
        };
        let no_store = identity.user(&[Role::StoreManager], StoreClaim::default());
        let no_role = identity.user(&[], StoreClaim::ALL);
        for (name, token, expect) in [
            (name, wrong_kind, Expect::OneOf(&[403])),
            ("a manager of no store", no_store, Expect::Orderly),
            ("a user without a role", no_role, Expect::Orderly),
        ] {
            let good = self.good_case(document, operation, Fill::Required);
            let case = good.header("authorization", &[format!("Bearer {token}")]);
            self.send(case.named(name, expect)).await;
        }
    }
}
