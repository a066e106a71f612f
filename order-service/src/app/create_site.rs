//! Opens a store.

use crate::app::AppState;
use crate::domain::site::Site;
use crate::error::UseCaseError;
use crate::store::sites;

/// Whether the store is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// It did not exist before.
    Now,
    /// It existed with the same content.
    Before,
}

/// Creates the store, or finds it there with the same content: a client that chooses the id may
/// repeat its request.
pub(crate) async fn create_site(
    app: &AppState,
    site: Site,
) -> Result<(Site, Created), UseCaseError> {
    let mut tx = app.db.begin().await?;
    if sites::insert_site(&mut tx, &site).await? {
        tx.commit().await?;
        return Ok((site, Created::Now));
    }
    let existing = sites::find_site(&mut tx, site.id).await?;
    let existing = existing.ok_or(UseCaseError::UnknownStore(site.id))?;
    let same = Site {
        created_at: existing.created_at,
        ..site
    };
    if existing == same {
        tx.commit().await?;
        Ok((existing, Created::Before))
    } else {
        Err(UseCaseError::StoreDiffers(existing.id))
    }
}
