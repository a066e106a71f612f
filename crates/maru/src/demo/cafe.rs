//! A small café, for a system without any store: enough to order, to run out of stock and to
//! report.

use common::ids::{ItemId, ProductId, StoreId};
use common::money::{Currency, Money};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::stock::Store;
use crate::client::{ClientError, Gateway};

const TIME_ZONE: &str = "Asia/Seoul";
const CURRENCY: &str = "KRW";

/// SKU, name and unit of the stock products.
const PRODUCTS: [(&str, &str, &str); 6] = [
    ("demo:coffee-beans", "Coffee beans", "g"),
    ("demo:milk", "Milk", "ml"),
    ("demo:paper-cup", "Paper cup", "piece"),
    ("demo:bread", "Bread slice", "piece"),
    ("demo:ham", "Ham", "g"),
    ("demo:cheese", "Cheese", "g"),
];

/// Something on the menu.
struct Dish {
    sku: &'static str,
    /// Key and name of what its sizes have in common.
    product: (&'static str, &'static str),
    name: &'static str,
    category: &'static str,
    won: i64,
    /// SKU and quantity of what it takes.
    recipe: &'static [(&'static str, i64)],
}

const DISHES: [Dish; 4] = [
    Dish {
        sku: "demo:americano",
        product: ("americano", "Americano"),
        name: "Americano",
        category: "Coffee",
        won: 4_500,
        recipe: &[("demo:coffee-beans", 18), ("demo:paper-cup", 1)],
    },
    Dish {
        sku: "demo:latte-regular",
        product: ("latte", "Caffè latte"),
        name: "Caffè latte, regular",
        category: "Coffee",
        won: 5_000,
        recipe: &[
            ("demo:coffee-beans", 18),
            ("demo:milk", 200),
            ("demo:paper-cup", 1),
        ],
    },
    Dish {
        sku: "demo:latte-large",
        product: ("latte", "Caffè latte"),
        name: "Caffè latte, large",
        category: "Coffee",
        won: 5_500,
        recipe: &[
            ("demo:coffee-beans", 24),
            ("demo:milk", 280),
            ("demo:paper-cup", 1),
        ],
    },
    Dish {
        sku: "demo:sandwich",
        product: ("sandwich", "Ham and cheese sandwich"),
        name: "Ham and cheese sandwich",
        category: "Food",
        won: 7_800,
        recipe: &[("demo:bread", 2), ("demo:ham", 60), ("demo:cheese", 40)],
    },
];

#[derive(Serialize)]
struct ItemIn {
    sku: &'static str,
    name: &'static str,
    product_key: &'static str,
    product_name: &'static str,
    category: &'static str,
    price: Money,
    active: bool,
}

/// Opens the café with its menu, products and recipes. Opening it again changes nothing.
pub(crate) async fn open(gateway: &Gateway) -> Result<Store, ClientError> {
    let currency: Currency = CURRENCY.parse().expect("three capital letters");
    let store = Store {
        id: StoreId::from_uuid(id("store")),
        name: "Maru Demo Café".to_owned(),
        time_zone: TIME_ZONE.to_owned(),
    };
    let body = json!({
        "id": store.id, "name": store.name, "time_zone": TIME_ZONE, "currency": currency,
        "business_day_cutoff": "04:00",
    });
    let call = gateway.post("/api/stores").repeatable().json(&body);
    call.send::<serde_json::Value>().await?;
    for (sku, name, unit) in PRODUCTS {
        let path = format!("/api/inventory/products/{}", product_id(sku));
        let body = json!({"sku": sku, "name": name, "unit": unit});
        gateway
            .put(path)
            .json(&body)
            .send::<serde_json::Value>()
            .await?;
    }
    for dish in &DISHES {
        put_dish(gateway, dish, currency).await?;
    }
    Ok(store)
}

async fn put_dish(gateway: &Gateway, dish: &Dish, currency: Currency) -> Result<(), ClientError> {
    let item_id = ItemId::from_uuid(id(dish.sku));
    let body = ItemIn {
        sku: dish.sku,
        name: dish.name,
        product_key: dish.product.0,
        product_name: dish.product.1,
        category: dish.category,
        price: Money::new(dish.won, currency),
        active: true,
    };
    let call = gateway
        .put(format!("/api/menu/items/{item_id}"))
        .json(&body);
    call.send::<serde_json::Value>().await?;
    let lines = dish
        .recipe
        .iter()
        .map(|&(sku, quantity)| json!({"product_id": product_id(sku), "quantity": quantity}));
    let body = json!({"lines": lines.collect::<Vec<_>>()});
    let call = gateway
        .put(format!("/api/inventory/recipes/{item_id}"))
        .json(&body);
    call.send::<serde_json::Value>().await.map(drop)
}

fn product_id(sku: &str) -> ProductId {
    ProductId::from_uuid(id(sku))
}

fn id(key: &str) -> Uuid {
    let demo = Uuid::new_v5(&Uuid::NAMESPACE_OID, b"maru.demo");
    Uuid::new_v5(&demo, key.as_bytes())
}
