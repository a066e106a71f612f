//! Sends stores, menu, products and recipes.

use std::sync::Arc;

use anyhow::bail;
use common::ids::{ProductId, StoreId};
use common::money::{Currency, Money};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::{Call, ClientError, Gateway};
use crate::import::catalogue::{Catalogue, Item, Product, Recipe, Store};
use crate::import::report::{Reject, Rejection};

/// Requests under way at a time.
const IN_FLIGHT: usize = 4;

#[derive(Serialize)]
struct StoreIn<'a> {
    id: StoreId,
    name: &'a str,
    time_zone: &'a str,
    currency: Currency,
    business_day_cutoff: &'a str,
}

#[derive(Deserialize)]
struct StoreOut {
    time_zone: String,
    currency: Currency,
    business_day_cutoff: String,
}

#[derive(Serialize)]
struct ItemIn<'a> {
    sku: &'a str,
    name: &'a str,
    product_key: &'a str,
    product_name: &'a str,
    category: &'a str,
    price: Money,
    active: bool,
}

#[derive(Serialize)]
struct ProductIn<'a> {
    sku: &'a str,
    name: &'a str,
    unit: &'a str,
}

#[derive(Serialize)]
struct RecipeIn {
    lines: Vec<IngredientIn>,
}

#[derive(Serialize)]
struct IngredientIn {
    product_id: ProductId,
    quantity: i64,
}

/// Stores, then menu and products, then the recipes that join them. An item that the server
/// refuses is reported and leaves the catalogue, and with it the orders that name it.
///
/// # Errors
/// When a store, a product or a recipe is refused, or no answer comes.
pub(crate) async fn send_catalogue(
    gateway: &Gateway,
    catalogue: &mut Catalogue,
    (currency, menu): (Currency, &Arc<str>),
    reject: Reject<'_>,
) -> anyhow::Result<()> {
    for store in catalogue.stores.values() {
        send_store(gateway, store, currency).await?;
    }
    for (key, problem) in send_items(gateway, catalogue).await? {
        if let Some(item) = catalogue.items.remove(&key) {
            catalogue.recipes.retain(|recipe| recipe.item_id != item.id);
            reject(Rejection {
                file: Arc::clone(menu),
                line: item.line,
                order: String::new(),
                code: "item_refused".to_owned(),
                reason: format!("`{key}`: {problem}"),
            });
        }
    }
    let products = catalogue.products.iter();
    send_all(
        products
            .map(|product| product_call(gateway, product))
            .collect(),
    )
    .await?;
    let recipes = catalogue.recipes.iter();
    send_all(recipes.map(|recipe| recipe_call(gateway, recipe)).collect()).await?;
    Ok(())
}

/// Sends the menu; returns the keys of refused items with the reasons.
async fn send_items(
    gateway: &Gateway,
    catalogue: &Catalogue,
) -> Result<Vec<(String, String)>, ClientError> {
    let calls = catalogue.sorted_items().into_iter().map(|(key, item)| {
        let call = item_call(gateway, item);
        async move {
            match call.send::<Value>().await {
                Ok(_) => Ok(None),
                Err(ClientError::Refused { problem, .. })
                    if matches!(problem.status, 400 | 409 | 422) =>
                {
                    Ok(Some((key.to_owned(), problem.to_string())))
                }
                Err(error) => Err(error),
            }
        }
    });
    let calls: Vec<_> = calls.collect();
    let answers = stream::iter(calls).buffered(IN_FLIGHT);
    let refused = answers.try_filter_map(async |refused| Ok(refused));
    refused.try_collect().await
}

async fn send_all(calls: Vec<Call<'_>>) -> Result<(), ClientError> {
    let sent = calls.into_iter().map(|call| call.send::<Value>());
    let mut sent = stream::iter(sent).buffer_unordered(IN_FLIGHT);
    while sent.try_next().await?.is_some() {}
    Ok(())
}

fn item_call<'g>(gateway: &'g Gateway, item: &Item) -> Call<'g> {
    let body = ItemIn {
        sku: &item.sku,
        name: &item.name,
        product_key: &item.product_key,
        product_name: &item.product_name,
        category: &item.category,
        price: item.price,
        active: true,
    };
    gateway
        .put(format!("/api/menu/items/{}", item.id))
        .json(&body)
}

fn product_call<'g>(gateway: &'g Gateway, product: &Product) -> Call<'g> {
    let body = ProductIn {
        sku: &product.sku,
        name: &product.name,
        unit: product.unit.as_str(),
    };
    gateway
        .put(format!("/api/inventory/products/{}", product.id))
        .json(&body)
}

fn recipe_call<'g>(gateway: &'g Gateway, recipe: &Recipe) -> Call<'g> {
    let line = |&(product_id, quantity): &(ProductId, i64)| IngredientIn {
        product_id,
        quantity,
    };
    let lines = recipe.lines.iter().map(line).collect();
    let path = format!("/api/inventory/recipes/{}", recipe.item_id);
    gateway.put(path).json(&RecipeIn { lines })
}

/// A store that exists already stays as it is, if times and amounts mean the same in it.
async fn send_store(gateway: &Gateway, store: &Store, currency: Currency) -> anyhow::Result<()> {
    let body = StoreIn {
        id: store.id,
        name: &store.name,
        time_zone: &store.time_zone,
        currency,
        business_day_cutoff: &store.business_day_cutoff,
    };
    let created = gateway.post("/api/stores").repeatable().json(&body);
    match created.send::<serde_json::Value>().await {
        Ok(_) => {}
        Err(ClientError::Refused { problem, .. })
            if problem.status == StatusCode::CONFLICT.as_u16() => {}
        Err(error) => return Err(error.into()),
    }
    let path = format!("/api/stores/{}", store.id);
    let found: StoreOut = gateway.get(path).send().await?.body;
    let agrees = found.time_zone.eq_ignore_ascii_case(&store.time_zone)
        && found.currency == currency
        && found.business_day_cutoff == store.business_day_cutoff;
    if !agrees {
        bail!(
            "store `{}` exists with {}, {} and days from {}, \
             but the map says {}, {currency} and {}",
            store.name,
            found.time_zone,
            found.currency,
            found.business_day_cutoff,
            store.time_zone,
            store.business_day_cutoff
        );
    }
    Ok(())
}
