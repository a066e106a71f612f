//! Places that sell.

use ::store::{StoreError, Tx};
use common::ids::StoreId;
use common::money::Currency;
use common::time::Timestamp;

use crate::domain::site::Site;
use crate::error::UseCaseError;

#[derive(sqlx::FromRow)]
struct SiteRow {
    id: StoreId,
    name: String,
    time_zone: String,
    currency: Currency,
    cutoff: String,
    created_at: Timestamp,
}

impl TryFrom<SiteRow> for Site {
    type Error = UseCaseError;

    fn try_from(row: SiteRow) -> Result<Self, UseCaseError> {
        let corrupt = |what| UseCaseError::corrupt(what, row.id);
        Ok(Self {
            id: row.id,
            zone: row
                .time_zone
                .parse()
                .map_err(|_unknown| corrupt("the time zone"))?,
            cutoff: row
                .cutoff
                .parse()
                .map_err(|_unknown| corrupt("the cut-off"))?,
            name: row.name,
            currency: row.currency,
            created_at: row.created_at,
        })
    }
}

pub(crate) async fn find_site(tx: &mut Tx, id: StoreId) -> Result<Option<Site>, UseCaseError> {
    let row = ::store::fetch_optional!(
        tx,
        SiteRow,
        "SELECT id, name, time_zone, currency, cutoff, created_at FROM stores WHERE id = $1",
        id
    )?;
    row.map(Site::try_from).transpose()
}

/// Inserts a store unless its id is taken; tells whether it did.
pub(crate) async fn insert_site(tx: &mut Tx, site: &Site) -> Result<bool, StoreError> {
    let inserted = ::store::execute!(
        tx,
        "INSERT INTO stores (id, name, time_zone, currency, cutoff, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING",
        site.id,
        &site.name,
        site.zone.name(),
        site.currency,
        site.cutoff.to_string(),
        site.created_at
    )?;
    Ok(inserted == 1)
}

/// Stores by id, after `after`.
pub(crate) async fn list_sites(
    tx: &mut Tx,
    after: StoreId,
    limit: i64,
) -> Result<Vec<Site>, UseCaseError> {
    let rows = ::store::fetch_all!(
        tx,
        SiteRow,
        "SELECT id, name, time_zone, currency, cutoff, created_at FROM stores
         WHERE id > $1 ORDER BY id LIMIT $2",
        after,
        limit
    )?;
    rows.into_iter().map(Site::try_from).collect()
}
