//! Recipes: what one piece of a menu item consumes.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, get, put, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, Valid};
use common::ids::{ItemId, ProductId};
use serde::{Deserialize, Serialize};

use crate::app::AppState;
use crate::domain::quantity::Quantity;
use crate::domain::recipe::RecipeLine;
use crate::error::UseCaseError;
use crate::store::catalog;

/// Ingredients of one recipe at most.
const MAX_LINES: usize = 100;

/// A recipe; without lines the item is not stock-tracked.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecipeIn {
    /// At most 100 ingredients, each product once.
    lines: Vec<IngredientIn>,
}

/// One ingredient.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IngredientIn {
    product_id: ProductId,
    /// Base units for one piece of the item, from 1.
    quantity: i64,
}

/// A recipe.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RecipeOut {
    item_id: ItemId,
    lines: Vec<IngredientOut>,
}

/// One ingredient.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct IngredientOut {
    product_id: ProductId,
    /// Base units for one piece of the item.
    quantity: i64,
}

impl Check for RecipeIn {
    fn check(&self, faults: &mut Faults) {
        faults.require(
            self.lines.len() <= MAX_LINES,
            "lines",
            "too_many",
            "at most 100 lines",
        );
        let mut seen = BTreeSet::new();
        for (index, line) in self.lines.iter().enumerate() {
            if let Err(error) = Quantity::try_from(line.quantity) {
                faults.add(
                    format!("lines[{index}].quantity"),
                    "out_of_range",
                    error.to_string(),
                );
            }
            let field = format!("lines[{index}].product_id");
            faults.require(
                seen.insert(line.product_id),
                field,
                "duplicate",
                "each product once",
            );
        }
    }
}

fn recipe_out(item_id: ItemId, lines: &[RecipeLine]) -> RecipeOut {
    let lines = lines
        .iter()
        .map(|line| IngredientOut {
            product_id: line.product_id,
            quantity: line.quantity,
        })
        .collect();
    RecipeOut { item_id, lines }
}

/// Replaces the recipe of a menu item. Repeating it changes nothing. Orders that hold stock
/// already keep what they hold. Needs the permission `CatalogWrite`.
#[access(chain)]
#[utoipa::path(
    request_body = RecipeIn,
    tag = "recipes", params(("id" = ItemId, Path)),
    responses((status = 200, body = RecipeOut), (status = 422, body = Problem))
)]
#[put("/api/inventory/recipes/{id}")]
pub(crate) async fn save(
    _auth: Permit<permits::CatalogWrite>,
    state: web::Data<AppState>,
    id: PathId<ItemId>,
    body: Valid<RecipeIn>,
) -> Result<HttpResponse, ApiError> {
    let item_id = id.0;
    let line = |line: &IngredientIn| RecipeLine {
        item_id,
        product_id: line.product_id,
        quantity: line.quantity,
    };
    let lines: Vec<RecipeLine> = body.lines.iter().map(line).collect();
    let mut tx = state.db.begin().await?;
    for line in &lines {
        let known = catalog::find_product(&mut tx, line.product_id).await?;
        known.ok_or(UseCaseError::UnknownProduct(line.product_id))?;
    }
    catalog::replace_recipe(&mut tx, item_id, &lines).await?;
    tx.commit().await?;
    Ok(HttpResponse::Ok().json(recipe_out(item_id, &lines)))
}

/// The recipe of a menu item; without lines when it has none. Needs `InventoryRead`.
#[access(chain)]
#[utoipa::path(
    tag = "recipes", params(("id" = ItemId, Path)),
    responses((status = 200, body = RecipeOut))
)]
#[get("/api/inventory/recipes/{id}")]
pub(crate) async fn read(
    _auth: Permit<permits::InventoryRead>,
    state: web::Data<AppState>,
    id: PathId<ItemId>,
) -> Result<HttpResponse, ApiError> {
    let mut tx = state.db.read().await?;
    let lines = catalog::list_recipe(&mut tx, id.0).await?;
    Ok(HttpResponse::Ok().json(recipe_out(id.0, &lines)))
}
