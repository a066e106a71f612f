//! SQL of the provider, inside the caller's transaction.

pub(crate) mod browsers;
pub(crate) mod clients;
pub(crate) mod codes;
pub(crate) mod consents;
pub(crate) mod grants;
pub(crate) mod service_sessions;

use ::store::Json;

use super::scopes::Scopes;

/// Scopes as a `jsonb` column has them.
fn scopes_column(scopes: &Scopes) -> Json<Vec<&'static str>> {
    ::store::json(scopes.names())
}

/// Scopes that a newer program wrote and this one does not know give nothing.
fn read_scopes(column: Json<Vec<String>>) -> Scopes {
    column.0.into_iter().collect()
}
