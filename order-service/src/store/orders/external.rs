//! Imported orders by the ids that their source gave them.

use ::store::Tx;

use super::{OrderRow, columns};
use crate::domain::order::Order;
use crate::error::UseCaseError;

/// Ids asked for with one statement.
const CHUNK: usize = 16;

/// The orders of a source with these ids that exist.
pub(crate) async fn find_by_external_ids(
    tx: &mut Tx,
    source: &str,
    ids: &[&str],
) -> Result<Vec<Order>, UseCaseError> {
    let mut found = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        for row in find_chunk(tx, source, chunk).await? {
            found.push(Order::try_from(row)?);
        }
    }
    Ok(found)
}

/// One statement text for every number of ids: the places left over repeat the first id.
async fn find_chunk(
    tx: &mut Tx,
    source: &str,
    ids: &[&str],
) -> Result<Vec<OrderRow>, ::store::StoreError> {
    let Some(first) = ids.first() else {
        return Ok(Vec::new());
    };
    let id = |place: usize| *ids.get(place).unwrap_or(first);
    ::store::fetch_all!(
        tx,
        OrderRow,
        concat!(
            "SELECT ",
            columns!(),
            " FROM orders WHERE source = $1 AND external_id IN ($2, $3, $4, $5, $6, $7, $8, $9, \
             $10, $11, $12, $13, $14, $15, $16, $17)"
        ),
        source,
        id(0),
        id(1),
        id(2),
        id(3),
        id(4),
        id(5),
        id(6),
        id(7),
        id(8),
        id(9),
        id(10),
        id(11),
        id(12),
        id(13),
        id(14),
        id(15)
    )
}
