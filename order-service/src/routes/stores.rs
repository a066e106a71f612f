//! Stores: the places that sell.

use actix_web::{HttpResponse, get, post, web};
use common::auth::{Permit, StoreScope, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, Valid, ValidQuery};
use common::ids::StoreId;
use common::money::Currency;
use common::page::{Page, check_limit, decode_cursor, limit_or_default};
use common::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::AppState;
use crate::app::create_site::{Created, create_site};
use crate::domain::site::{Cutoff, Site, Zone};
use crate::error::UseCaseError;
use crate::store::sites;

/// A store as a client describes it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreIn {
    /// Chosen by the client, so that the request can be repeated; otherwise chosen here.
    id: Option<StoreId>,
    /// 1 to 200 characters.
    name: String,
    /// Name in the IANA time zone database.
    #[schema(example = "America/New_York")]
    time_zone: String,
    currency: Currency,
    /// When a business day begins on the store's clock, `00:00` to `12:00`; `04:00` when absent.
    #[schema(example = "04:00")]
    business_day_cutoff: Option<String>,
}

/// When the business day of a store begins that names no time: bars close late.
const DEFAULT_CUTOFF: &str = "04:00";

impl StoreIn {
    fn cutoff(&self) -> &str {
        self.business_day_cutoff
            .as_deref()
            .unwrap_or(DEFAULT_CUTOFF)
    }
}

impl Check for StoreIn {
    fn check(&self, faults: &mut Faults) {
        faults.require_text(&self.name, "name", 200);
        if let Err(error) = self.time_zone.parse::<Zone>() {
            faults.add("time_zone", "unknown_time_zone", error.to_string());
        }
        if let Err(error) = self.cutoff().parse::<Cutoff>() {
            faults.add("business_day_cutoff", "not_a_cutoff", error.to_string());
        }
    }
}

/// A store.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct StoreOut {
    id: StoreId,
    name: String,
    time_zone: String,
    currency: Currency,
    business_day_cutoff: String,
    created_at: Timestamp,
}

impl From<&Site> for StoreOut {
    fn from(site: &Site) -> Self {
        Self {
            id: site.id,
            name: site.name.clone(),
            time_zone: site.zone.name().to_owned(),
            currency: site.currency,
            business_day_cutoff: site.cutoff.to_string(),
            created_at: site.created_at,
        }
    }
}

/// Opens a store. Needs the permission `MenuWrite`. With an `id` it may be repeated: the same
/// content is answered 200, other content 409. A store cannot be changed afterwards, because orders
/// were priced and dated by it.
#[access(body.id)]
#[utoipa::path(
    tag = "stores", request_body = StoreIn,
    responses((status = 201, body = StoreOut), (status = 200, body = StoreOut),
              (status = 409, body = Problem), (status = 422, body = Problem))
)]
#[post("/api/stores")]
pub(crate) async fn create(
    auth: Permit<permits::MenuWrite>,
    state: web::Data<AppState>,
    body: Valid<StoreIn>,
) -> Result<HttpResponse, ApiError> {
    let id = body.id.unwrap_or_else(|| StoreId::new(&state.clock));
    if body.id.is_some() {
        auth.require_store(id)?;
    }
    let unchecked = |what| UseCaseError::Inconsistent(format!("{what} was not checked"));
    let site = Site {
        id,
        name: body.name.clone(),
        zone: body
            .time_zone
            .parse()
            .map_err(|_invalid| unchecked("time_zone"))?,
        currency: body.currency,
        cutoff: body
            .cutoff()
            .parse()
            .map_err(|_invalid| unchecked("cut-off"))?,
        created_at: state.clock.now(),
    };
    let (site, created) = create_site(&state, site).await?;
    let mut answer = match created {
        Created::Now => HttpResponse::Created(),
        Created::Before => HttpResponse::Ok(),
    };
    let location = ("location", format!("/api/stores/{}", site.id));
    Ok(answer.insert_header(location).json(StoreOut::from(&site)))
}

/// A store of the caller's. Needs the permission `MenuRead`.
#[access(path.id)]
#[utoipa::path(
    tag = "stores", params(("id" = StoreId, Path)),
    responses((status = 200, body = StoreOut), (status = 404, body = Problem))
)]
#[get("/api/stores/{id}")]
pub(crate) async fn read(
    auth: Permit<permits::MenuRead>,
    state: web::Data<AppState>,
    id: PathId<StoreId>,
) -> Result<HttpResponse, ApiError> {
    auth.require_store(id.0)?;
    let site = state.site(id.0).await?;
    Ok(HttpResponse::Ok().json(StoreOut::from(&*site)))
}

/// Which page of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StoresQuery {
    /// From 1 to 200; 50 when absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl Check for StoresQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
    }
}

/// The caller's stores by id. Needs the permission `MenuRead`.
#[access(caller)]
#[utoipa::path(
    tag = "stores", params(StoresQuery),
    responses((status = 200, body = Page<StoreOut>), (status = 422, body = Problem))
)]
#[get("/api/stores")]
pub(crate) async fn list(
    auth: Permit<permits::MenuRead>,
    state: web::Data<AppState>,
    query: ValidQuery<StoresQuery>,
) -> Result<HttpResponse, ApiError> {
    let limit = limit_or_default(query.limit);
    let after = decode_cursor::<StoreId>(query.cursor.as_deref())?;
    let after = after.unwrap_or(StoreId::from_uuid(uuid::Uuid::nil()));
    let rows = visible(&state, &auth.stores, after, limit).await?;
    let page = Page::cut(rows, limit, |site| site.id, |site| StoreOut::from(&site));
    Ok(HttpResponse::Ok().json(page))
}

/// One more than `limit` of the stores in `scope` after `after`.
async fn visible(
    state: &AppState,
    scope: &StoreScope,
    after: StoreId,
    limit: u32,
) -> Result<Vec<Site>, UseCaseError> {
    let mut tx = state.db.read().await?;
    let StoreScope::Only(ids) = scope else {
        return sites::list_sites(&mut tx, after, i64::from(limit) + 1).await;
    };
    let mut ids: Vec<StoreId> = ids.iter().copied().filter(|id| *id > after).collect();
    ids.sort_unstable();
    let mut found = Vec::new();
    for id in ids {
        found.extend(sites::find_site(&mut tx, id).await?);
        if found.len() > usize::try_from(limit).unwrap_or(usize::MAX) {
            break;
        }
    }
    Ok(found)
}
