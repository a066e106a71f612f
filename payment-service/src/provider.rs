//! Payment providers: what this service asks of them, whoever they are.
//!
//! Every request carries our key. A provider remembers it: sent twice, it takes effect once and is
//! answered alike. [`PaymentProvider::query`] tells what became of a key; there is no other way to
//! learn the outcome of a request whose answer was lost.

pub(crate) mod sandbox;

use async_trait::async_trait;
use common::money::Money;

use crate::domain::operation::{Kind, OperationId, Settlement};
use crate::domain::token::Token;

/// A request about a payment that the provider knows.
#[derive(Clone, Debug)]
pub(crate) struct FollowUp {
    /// Our key.
    pub(crate) key: OperationId,
    /// What the provider called the authorization.
    pub(crate) reference: String,
    /// Over how much.
    pub(crate) amount: Money,
}

/// A request to set money aside.
#[derive(Clone, Debug)]
pub(crate) struct Authorization {
    /// Our key.
    pub(crate) key: OperationId,
    /// The payment method.
    pub(crate) token: Token,
    /// How much.
    pub(crate) amount: Money,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    /// The request surely did not get there.
    #[error("the payment provider cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It may have got there and taken effect.
    #[error("the payment provider did not answer")]
    Unanswered(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a provider knows of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It ended like this.
    Settled(Settlement),
    /// It is still being worked on.
    Processing,
    /// There is no record of it.
    NotFound,
}

/// One line of a provider's book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BookEntry {
    /// Our key.
    pub(crate) key: OperationId,
    /// What was asked for.
    pub(crate) kind: Kind,
    /// Over how much.
    pub(crate) amount: Money,
    /// Whether it was done; otherwise it was declined.
    pub(crate) done: bool,
}

/// A payment provider.
#[async_trait]
pub(crate) trait PaymentProvider: Send + Sync {
    /// Its name, for logs and reports.
    fn name(&self) -> &'static str;

    /// Sets money aside.
    async fn authorize(&self, request: &Authorization) -> Result<Settlement, ProviderError>;

    /// Takes what was set aside.
    async fn capture(&self, request: &FollowUp) -> Result<Settlement, ProviderError>;

    /// Lets go of what was set aside.
    async fn void(&self, request: &FollowUp) -> Result<Settlement, ProviderError>;

    /// Gives back some of what was taken.
    async fn refund(&self, request: &FollowUp) -> Result<Settlement, ProviderError>;

    /// What became of a key.
    async fn query(&self, key: OperationId) -> Result<Finding, ProviderError>;

    /// The settled lines of the provider's book with keys after `after`, in the order of keys.
    async fn list_book(
        &self,
        after: Option<OperationId>,
        limit: u32,
    ) -> Result<Vec<BookEntry>, ProviderError>;
}
