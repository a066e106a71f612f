//! An import survives its own death, the server's faults and a lost or wrong resume file, in
//! bounded memory.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Child;

use crate::fake_gateway::FakeGateway;
use crate::import::{export, import, repository};
use crate::program::maru;

/// An export with this many orders of two lines.
fn many(orders: u32, key: impl Fn(u32) -> u32) -> tempfile::TempDir {
    let mut heads = "order_id,date,time\r\n".to_owned();
    let mut details = "order_details_id,order_id,pizza_id,quantity\r\n".to_owned();
    for number in 0..orders {
        let order = key(number);
        let second = number % 60;
        write!(heads, "{order},2015-03-01,12:30:{second:02}\r\n").unwrap();
        write!(
            details,
            "{number},{order},hawaiian_m,1\r\n{number},{order},ckn_pesto_l,2\r\n"
        )
        .unwrap();
    }
    export(heads, details)
}

/// Starts an import of which the server answers so many batches, kills it, and returns how many
/// answers it had noted: all, or up to two less, as a request may overtake the one before it.
fn kill_after(gateway: &FakeGateway, data: &Path, folder: &Path, batches: usize) -> usize {
    gateway.world().hang_after = Some(batches);
    let map = repository().join("imports/pizza-place.toml");
    let map = map.to_str().unwrap();
    let folder = folder.to_str().unwrap();
    let words = [
        "import",
        "orders",
        "--map",
        map,
        folder,
        "--batch-size",
        "10",
    ];
    let mut child: Child = maru(gateway, data, &words).spawn().unwrap();
    // The file has a heading.
    let resume = data.join("imports/pizza-place.csv.resume");
    let noted = || {
        fs::read_to_string(&resume)
            .unwrap_or_default()
            .lines()
            .skip(1)
            .count()
    };
    while gateway.world().batches.len() < batches || noted() + 2 < batches {
        assert!(
            child.try_wait().unwrap().is_none(),
            "the import ended early"
        );
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    gateway.world().recover();
    noted()
}

#[test]
fn a_killed_import_goes_on_where_it_stopped() {
    let gateway = FakeGateway::start();
    let data = tempfile::tempdir().unwrap();
    let folder = many(300, |number| number);
    let noted = kill_after(&gateway, data.path(), folder.path(), 12);
    assert_eq!(gateway.world().imported.len(), 120);
    gateway.world().batches.clear();
    let ended = import(
        &gateway,
        data.path(),
        folder.path(),
        &["--batch-size", "10"],
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    // Five of the noted batches are sent again as a check.
    let skipped = (noted - 5) * 10;
    let expected = format!(
        "180 new, {} known, {skipped} acknowledged before",
        120 - skipped
    );
    assert!(ended.out.contains(&expected), "{expected}: {}", ended.out);
    let world = gateway.world();
    assert_eq!(world.imported.len(), 300);
    assert_eq!(world.batches.len(), 30 - skipped / 10);
    assert!(!data.path().join("imports/pizza-place.csv.resume").exists());
}

#[test]
fn a_resume_file_that_is_wrong_or_lost_does_no_harm() {
    for lost in [false, true] {
        let gateway = FakeGateway::start();
        let data = tempfile::tempdir().unwrap();
        let folder = many(300, |number| number);
        kill_after(&gateway, data.path(), folder.path(), 12);
        // The server lost what it had acknowledged: another database, or a restored backup.
        gateway.world().imported.clear();
        if lost {
            fs::remove_file(data.path().join("imports/pizza-place.csv.resume")).unwrap();
        }
        let ended = import(
            &gateway,
            data.path(),
            folder.path(),
            &["--batch-size", "10"],
        );
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(
            ended
                .out
                .contains("300 new, 0 known, 0 acknowledged before"),
            "{}",
            ended.out
        );
        assert_eq!(gateway.world().imported.len(), 300);
        // A file that is wrong may be found out before anything was held back because of it; then
        // there is nothing to say. Without a file there never is.
        let said = ended.err.contains("sending everything");
        assert!(!(lost && said), "{}", ended.err);
    }
}

#[test]
fn a_changed_file_makes_the_resume_file_void() {
    let gateway = FakeGateway::start();
    let data = tempfile::tempdir().unwrap();
    let folder = many(300, |number| number);
    kill_after(&gateway, data.path(), folder.path(), 12);
    let orders = folder.path().join("orders.csv");
    let text = fs::read_to_string(&orders).unwrap();
    fs::write(&orders, text.replacen("12:30:05", "12:30:06", 1)).unwrap();
    let ended = import(
        &gateway,
        data.path(),
        folder.path(),
        &["--batch-size", "10"],
    );
    assert!(
        ended
            .out
            .contains("180 new, 119 known, 0 acknowledged before"),
        "{}",
        ended.out
    );
    let report = fs::read_to_string(data.path().join("imports/pizza-place.csv")).unwrap();
    assert!(report.contains(",5,external_id_reused,"), "{report}");
}

#[test]
fn a_gateway_that_fails_now_and_then_changes_nothing() {
    let gateway = FakeGateway::start();
    let data = tempfile::tempdir().unwrap();
    let folder = many(100, |number| number);
    for (on, status, takes_effect) in [
        ("POST /api/stores", 502, true),
        ("PUT /api/menu/items", 503, false),
        ("PUT /api/inventory/recipes", 504, true),
        ("POST /api/orders/import", 502, true),
        ("POST /api/orders/import", 503, false),
        ("POST /api/orders/import", 429, false),
        ("POST /api/orders/import", 504, true),
        ("POST /api/auth/login", 503, false),
    ] {
        gateway.fail(on, 1, status, takes_effect);
    }
    let ended = import(
        &gateway,
        data.path(),
        folder.path(),
        &["--strict", "--batch-size", "10"],
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    let world = gateway.world();
    assert_eq!((world.imported.len(), world.items.len()), (100, 3));
    assert!(world.faults.is_empty());
}

#[test]
fn memory_stays_flat_for_sorted_and_unsorted_files() {
    let orders = 40_000;
    // 7919 has no common divisor with the count, so every number comes once.
    for (unsorted, key) in [(false, 1_u32), (true, 7_919)] {
        let gateway = FakeGateway::start();
        let data = tempfile::tempdir().unwrap();
        let folder = many(orders, |number| number * key % orders);
        let ended = import(&gateway, data.path(), folder.path(), &["--strict"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_eq!(gateway.world().imported.len(), 40_000);
        assert_eq!(
            ended.err.contains("sorting them on disk"),
            unsorted,
            "{}",
            ended.err
        );
        if let Some((_, rest)) = ended.out.split_once("peak memory ") {
            let peak: u64 = rest.split(' ').next().unwrap().parse().unwrap();
            println!("{orders} orders, unsorted {unsorted}: peak memory {peak} MB");
            assert!(peak < 64, "{}", ended.out);
        }
    }
}
