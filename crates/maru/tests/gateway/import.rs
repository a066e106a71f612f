//! Exports of two different chains arrive as the same kind of orders, and what cannot be used is
//! told.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::fake_gateway::{FakeGateway, ImportedIn, World};
use crate::program::{Ended, run};

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) const PIZZAS: &str = "pizza_id,pizza_type_id,size,price\r\n\
    hawaiian_s,hawaiian,S,10.5\r\n\
    hawaiian_m,hawaiian,M,13.25\r\n\
    ckn_pesto_l,ckn_pesto,L,20.75\r\n";
pub(crate) const TYPES: &str = "pizza_type_id,name,category,ingredients\r\n\
    hawaiian,The Hawaiian Pizza,Classic,\"Sliced Ham, Pineapple, Mozzarella Cheese\"\r\n\
    ckn_pesto,The Chicken Pesto Pizza,Chicken,\"Chicken, Tomatoes, Red Peppers, Spinach, Garlic, Pesto Sauce\"\r\n";

/// An export in the shape of the pizza place's, with these orders and lines.
pub(crate) fn export(orders: impl AsRef<[u8]>, details: impl AsRef<[u8]>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| fs::write(folder.path().join(name), content).unwrap();
    write("pizzas.csv", PIZZAS.as_bytes());
    write("pizza_types.csv", TYPES.as_bytes());
    write("orders.csv", orders.as_ref());
    write("order_details.csv", details.as_ref());
    folder
}

/// Imports a folder by the pizza place's map, with more words on the command line.
pub(crate) fn import(gateway: &FakeGateway, data: &Path, folder: &Path, more: &[&str]) -> Ended {
    let map = repository().join("imports/pizza-place.toml");
    let mut words = vec![
        "import",
        "orders",
        "--map",
        map.to_str().unwrap(),
        folder.to_str().unwrap(),
    ];
    words.extend(more);
    run(gateway, data, &words)
}

fn order<'w>(world: &'w World, source: &str, key: &str) -> &'w ImportedIn {
    &world.imported[&(source.to_owned(), key.to_owned())]
}

/// `sku xquantity @price` of each line.
fn lines(world: &World, order: &ImportedIn) -> Vec<String> {
    let line = |line: &crate::fake_gateway::ImportedLineIn| {
        let sku = &world.items[&line.item_id].sku;
        format!("{sku} x{} @{}", line.quantity, line.unit_price.amount)
    };
    order.lines.iter().map(line).collect()
}

const ORDERS: &str = "\u{feff}order_id,date,time\r\n\
    1,2015-01-01,11:38:36\r\n\
    2,01/02/2015,9:57:40 PM\r\n\
    10,2015-12-31,23:02:05\r\n";
const DETAILS: &str = "order_details_id,order_id,pizza_id,quantity\r\n\
    1,1,hawaiian_m,1\r\n\
    2,2,hawaiian_s,2\r\n\
    3,2,ckn_pesto_l,1\r\n\
    4,10,\"hawaiian_m\",1\r\n";

#[test]
fn a_years_export_becomes_a_store_a_menu_recipes_and_orders() {
    let gateway = FakeGateway::start();
    let data = tempfile::tempdir().unwrap();
    let folder = export(ORDERS, DETAILS);
    let ended = import(&gateway, data.path(), folder.path(), &["--strict"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.out.contains("3 orders read: 3 new, 0 known"),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("no row rejected"), "{}", ended.out);
    let world = gateway.world();
    let store = world.stores.values().next().unwrap();
    assert_eq!(
        (store.time_zone.as_str(), store.currency.as_str()),
        ("America/New_York", "USD")
    );
    let names: Vec<&str> = world
        .items
        .values()
        .map(|item| item.name.as_str())
        .collect();
    assert!(names.contains(&"The Chicken Pesto Pizza (L)"), "{names:?}");
    assert_eq!(world.items.len(), 3);
    let second = order(&world, "pizza-place", "2");
    assert_eq!(second.placed_at_local, "2015-01-02T21:57:40");
    assert_eq!(
        lines(&world, second),
        ["hawaiian_s x2 @1050", "ckn_pesto_l x1 @2075"]
    );
    let recipe_of = |sku: &str| {
        let (id, _) = world
            .items
            .iter()
            .find(|(_, item)| item.sku == sku)
            .unwrap();
        let mut recipe: Vec<String> = Vec::new();
        for line in &world.recipes[id].lines {
            let product = &world.products[&line.product_id];
            recipe.push(format!(
                "{} {} {}",
                product.name, line.quantity, product.unit
            ));
        }
        recipe
    };
    // 70 percent of the medium quantities; the sauce and the dough are of every pizza.
    let hawaiian = [
        "Sliced Ham 42 g",
        "Pineapple 42 g",
        "Mozzarella Cheese 77 g",
        "Pizza Dough 182 g",
        "Tomato Sauce 63 ml",
    ];
    assert_eq!(recipe_of("hawaiian_s"), hawaiian);
    // The pesto takes the place of the tomato sauce.
    let pesto = recipe_of("ckn_pesto_l");
    assert!(pesto.contains(&"Pesto Sauce 82 ml".to_owned()), "{pesto:?}");
    assert!(
        !pesto.iter().any(|line| line.starts_with("Tomato Sauce")),
        "{pesto:?}"
    );
}

#[test]
fn importing_twice_is_importing_once() {
    let gateway = FakeGateway::start();
    let data = tempfile::tempdir().unwrap();
    let folder = export(ORDERS, DETAILS);
    let first = import(&gateway, data.path(), folder.path(), &[]);
    let before = gateway.world().imported.clone();
    let second = import(&gateway, data.path(), folder.path(), &["--batch-size", "1"]);
    assert_eq!((first.code, second.code), (0, 0), "{second:?}");
    assert!(
        second.out.contains("3 orders read: 0 new, 3 known"),
        "{}",
        second.out
    );
    let world = gateway.world();
    assert_eq!(world.imported, before);
    assert_eq!((world.stores.len(), world.items.len()), (1, 3));
}

#[test]
fn another_chains_export_needs_another_map_and_no_code() {
    let gateway = FakeGateway::start();
    let data = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hanok-cafe");
    let map = fixture.join("map.toml");
    let report = data.path().join("rejected.csv");
    let words = [
        "import",
        "orders",
        "--map",
        map.to_str().unwrap(),
        fixture.to_str().unwrap(),
        "--report",
        report.to_str().unwrap(),
    ];
    let ended = run(&gateway, data.path(), &words);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("2 stores, 3 items"), "{}", ended.out);
    assert!(ended.out.contains("6 orders read: 4 new"), "{}", ended.out);
    let world = gateway.world();
    let told = |key: &str| {
        let order = order(&world, "hanok-cafe", key);
        let store = &world.stores[&order.store_id].name;
        let lines = lines(&world, order).join(", ");
        format!(
            "{store}, {}, {}: {lines}",
            order.channel, order.placed_at_local
        )
    };
    assert_eq!(
        told("A-0001"),
        "한옥카페 강남점, dine_in, 2024-03-01T09:40:00: HC-AME x1 @4500, HC-CAK x2 @7800"
    );
    // 14,000 won for three do not divide evenly: the parts sum up to it.
    assert_eq!(
        told("B-0002"),
        "한옥카페 부산점, takeaway, 2024-03-01T12:05:00: HC-LAT x1 @4666, HC-LAT x2 @4667, HC-CAK x1 @7800"
    );
    assert_eq!(
        told("B-0001"),
        "한옥카페 부산점, delivery, 2024-03-01T00:10:00: HC-AME x2 @4500"
    );
    assert_eq!(
        told("A-0004"),
        "한옥카페 강남점, dine_in, 2024-03-02T13:25:00: HC-AME x1 @4800"
    );
    let cake = world
        .items
        .values()
        .find(|item| item.sku == "HC-CAK")
        .unwrap();
    assert_eq!(
        (cake.name.as_str(), cake.price.amount),
        ("치즈케이크; 조각", 7800)
    );
    let report = fs::read_to_string(&report).unwrap();
    let rows: Vec<&str> = report.lines().collect();
    assert_eq!(rows.len(), 2, "{report}");
    assert!(
        rows[1].starts_with("sales.csv,11,A-0005,invalid_date,"),
        "{report}"
    );
}

#[test]
fn every_row_that_is_not_imported_is_told_with_its_reason() {
    let gateway = FakeGateway::start();
    let data = tempfile::tempdir().unwrap();
    let mut orders = b"order_id,date,time\n\
        1,2015-01-01,11:00:00\n\
        2,2015-02-30,11:00:00\n\
        3,2015-01-01,11:00:00\n\
        4,2015-01-01,11:00:00\n\
        5,2015-01-01,11:00:00\n\
        6,2015-01-01,11:00:00\n\
        6,2015-01-01,12:00:00\n\
        7,2015-01-01,11:00:00\n\
        7,2015-01-01,11:00:00\n\
        8,2015-01-01\n\
        9,2015-01-01,11:00:00\n"
        .to_vec();
    orders.extend_from_slice(b"10,2015-\xff,11:00:00\n");
    let mut details = b"order_details_id,order_id,pizza_id,quantity\n\
        1,1,hawaiian_m,1\n\
        2,2,hawaiian_m,1\n\
        3,3,margherita,1\n\
        4,3,hawaiian_m,1\n\
        5,4,hawaiian_m,0\n\
        6,6,hawaiian_m,1\n\
        7,7,hawaiian_m,1\n\
        8,8,hawaiian_m,1\n"
        .to_vec();
    details.extend_from_slice(
        b"9,9,hawaiian_m,1\n10,9,\xff\xfe,1\n11,10,hawaiian_m,1\n12,99,hawaiian_m,1\n",
    );
    let folder = export(&orders, &details);
    let ended = import(&gateway, data.path(), folder.path(), &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let imported: Vec<String> = gateway
        .world()
        .imported
        .keys()
        .map(|(_, key)| key.clone())
        .collect();
    assert_eq!(imported, ["1", "7"]);
    let report = fs::read_to_string(data.path().join("imports/pizza-place.csv")).unwrap();
    let mut told: Vec<String> = report
        .lines()
        .skip(1)
        .map(|row| {
            let cells: Vec<&str> = row.splitn(5, ',').collect();
            cells[..4].join(",")
        })
        .collect();
    told.sort();
    let expected = [
        "order_details.csv,11,9,unreadable_row",
        "order_details.csv,13,99,line_without_order",
        "order_details.csv,4,3,unknown_item",
        "order_details.csv,6,4,invalid_quantity",
        "order_details.csv,9,8,line_without_order",
        "orders.csv,10,7,",
        "orders.csv,11,8,unreadable_row",
        "orders.csv,12,9,order_incomplete",
        "orders.csv,13,10,unreadable_row",
        "orders.csv,3,2,invalid_date",
        "orders.csv,4,3,order_incomplete",
        "orders.csv,5,4,order_incomplete",
        "orders.csv,6,5,order_without_lines",
        "orders.csv,7,6,duplicate_order",
        "orders.csv,8,6,duplicate_order",
    ];
    let expected: Vec<&str> = expected
        .into_iter()
        .filter(|row| !row.ends_with(','))
        .collect();
    assert_eq!(told, expected, "{report}");
    assert!(
        report.contains("rejected as a whole: line 4 of order_details.csv"),
        "{report}"
    );
    let strict = import(&gateway, data.path(), folder.path(), &["--strict"]);
    assert_eq!(strict.code, 1, "{strict:?}");
}

#[test]
fn a_line_that_cannot_be_attributed_costs_the_orders_beside_it() {
    let gateway = FakeGateway::start();
    let data = tempfile::tempdir().unwrap();
    let orders = "order_id,date,time\n1,2015-01-01,11:00:00\n2,2015-01-01,11:00:00\n\
        3,2015-01-01,11:00:00\n4,2015-01-01,11:00:00\n";
    let details = "order_details_id,order_id,pizza_id,quantity\n\
        1,1,hawaiian_m,1\n2,2,hawaiian_m,1\n3,\n4,3,hawaiian_m,1\n5,4,hawaiian_m,1\n6,4\n";
    let folder = export(orders, details);
    let ended = import(&gateway, data.path(), folder.path(), &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    // The cut line after order 2 may be of 2 or of 3; the last one says that it is of 4.
    let imported: Vec<String> = gateway
        .world()
        .imported
        .keys()
        .map(|(_, key)| key.clone())
        .collect();
    assert_eq!(imported, ["1"]);
}

#[test]
fn files_in_any_order_give_the_same_orders() {
    let gateway = FakeGateway::start();
    let data = tempfile::tempdir().unwrap();
    let sorted = export(ORDERS, DETAILS);
    import(&gateway, data.path(), sorted.path(), &[]);
    let expected = std::mem::take(&mut gateway.world().imported);
    let turn = |text: &str| {
        let mut rows: Vec<&str> = text.split_inclusive("\r\n").collect();
        let header = rows.remove(0).to_owned();
        // Lines of one order keep their order among themselves.
        rows.rotate_left(1);
        header + &rows.concat()
    };
    let turned = export(turn(ORDERS), turn(DETAILS));
    let ended = import(&gateway, data.path(), turned.path(), &["--strict"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("sorting them on disk"), "{}", ended.err);
    assert_eq!(gateway.world().imported, expected);
}

#[test]
fn an_order_that_the_server_refuses_does_not_cost_the_others() {
    let gateway = FakeGateway::start();
    let data = tempfile::tempdir().unwrap();
    let folder = export(ORDERS, DETAILS);
    gateway.world().poisoned.insert("2".to_owned());
    let ended = import(&gateway, data.path(), folder.path(), &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("3 orders read: 2 new"), "{}", ended.out);
    let report = fs::read_to_string(data.path().join("imports/pizza-place.csv")).unwrap();
    assert!(report.contains("orders.csv,3,2,invalid_field,"), "{report}");
}

#[test]
fn an_item_that_the_server_refuses_costs_its_own_orders_only() {
    let gateway = FakeGateway::start();
    let data = tempfile::tempdir().unwrap();
    let folder = export(ORDERS, DETAILS);
    import(&gateway, data.path(), folder.path(), &[]);
    // The code of an item is taken by another one.
    let taken = {
        let mut world = gateway.world();
        world.imported.clear();
        let sold = world
            .items
            .iter()
            .find(|(_, item)| item.sku == "ckn_pesto_l");
        let (id, item) = sold.map(|(id, item)| (id.clone(), item.clone())).unwrap();
        world.items.remove(&id);
        world.items.insert("another".to_owned(), item);
        id
    };
    let ended = import(&gateway, data.path(), folder.path(), &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let report = fs::read_to_string(data.path().join("imports/pizza-place.csv")).unwrap();
    assert!(
        report.contains("pizzas.csv,4,,item_refused,`ckn_pesto_l`: 409 sku_taken"),
        "{report}"
    );
    assert!(
        report.contains("order_details.csv,4,2,unknown_item,"),
        "{report}"
    );
    let world = gateway.world();
    assert!(!world.items.contains_key(&taken));
    let imported: Vec<&str> = world.imported.keys().map(|(_, key)| key.as_str()).collect();
    assert_eq!(imported, ["1", "10"]);
}

#[test]
fn an_order_known_with_other_content_is_reported() {
    let gateway = FakeGateway::start();
    let data = tempfile::tempdir().unwrap();
    import(&gateway, data.path(), export(ORDERS, DETAILS).path(), &[]);
    let changed = export(
        ORDERS,
        DETAILS.replace("2,2,hawaiian_s,2", "2,2,hawaiian_s,3"),
    );
    let ended = import(&gateway, data.path(), changed.path(), &[]);
    assert!(ended.out.contains("0 new, 2 known"), "{}", ended.out);
    let report = fs::read_to_string(data.path().join("imports/pizza-place.csv")).unwrap();
    assert!(
        report.contains("orders.csv,3,2,external_id_reused,"),
        "{report}"
    );
}

#[test]
fn when_nothing_can_be_imported_the_end_says_so() {
    let gateway = FakeGateway::start();
    let data = tempfile::tempdir().unwrap();
    let folder = export(
        ORDERS,
        DETAILS
            .replace("hawaiian", "margherita")
            .replace("ckn", "x"),
    );
    let ended = import(&gateway, data.path(), folder.path(), &[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains("3 orders read: 0 new"), "{}", ended.out);
}

#[test]
fn every_fault_of_a_map_is_told_with_key_and_line() {
    let gateway = FakeGateway::start();
    let data = tempfile::tempdir().unwrap();
    let folder = export(ORDERS, DETAILS);
    let good = fs::read_to_string(repository().join("imports/pizza-place.toml")).unwrap();
    let bad = good
        .replace("currency = \"USD\"", "currency = \"usd\"")
        .replace("channel = ", "chanel = ")
        .replace("\"%Y-%m-%d %H:%M:%S\"", "\"%Y-%m-%d\"");
    let map = data.path().join("bad.toml");
    fs::write(&map, bad).unwrap();
    let words = [
        "import",
        "orders",
        "--map",
        map.to_str().unwrap(),
        folder.path().to_str().unwrap(),
    ];
    let ended = run(&gateway, data.path(), &words);
    assert_eq!(ended.code, 1);
    let line_of = |text: &str| 1 + good.lines().position(|line| line.contains(text)).unwrap();
    for (text, expected) in [
        (
            "currency =",
            "currency: a currency is three capital letters",
        ),
        ("[orders]", "orders.channel: missing"),
        (
            "channel =",
            "orders.chanel: unknown key; did you mean `channel`?",
        ),
        (
            "placed_at",
            "orders.placed_at.formats: `%Y-%m-%d` gives no time of day",
        ),
    ] {
        let expected = format!("line {}: {expected}", line_of(text));
        assert!(ended.err.contains(&expected), "{expected}\n{}", ended.err);
    }
    assert!(ended.err.contains("has 4 faults"), "{}", ended.err);
    // Columns and files are checked together as well.
    let bad = good
        .replace("{pizza_type_id}\"\nproduct", "{kind}\"\nproduct")
        .replace("orders.csv", "order.csv");
    fs::write(&map, bad.replace("{types.category}", "{types.group}")).unwrap();
    let ended = run(&gateway, data.path(), &words);
    for expected in [
        "file `pizzas` has no column `kind`",
        "file `types` has no column `group`",
        "order.csv",
    ] {
        assert!(ended.err.contains(expected), "{expected}\n{}", ended.err);
    }
    assert!(gateway.world().log.is_empty());
}

#[test]
fn a_store_that_means_other_times_is_not_imported_into() {
    let gateway = FakeGateway::start();
    let data = tempfile::tempdir().unwrap();
    let folder = export(ORDERS, DETAILS);
    import(&gateway, data.path(), folder.path(), &[]);
    for store in gateway.world().stores.values_mut() {
        "Asia/Seoul".clone_into(&mut store.time_zone);
    }
    let ended = import(&gateway, data.path(), folder.path(), &[]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.err.contains("exists with Asia/Seoul"),
        "{}",
        ended.err
    );
}
