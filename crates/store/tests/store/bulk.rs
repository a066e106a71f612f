use crate::{amounts, database};

#[tokio::test]
async fn more_rows_than_a_statement_has_parameters_are_inserted_in_order() {
    let (_database, db) = database().await;
    let rows: Vec<(i64, i64)> = (0..40_000).map(|id| (id, id * 2)).collect();
    let mut tx = db.begin().await.unwrap();
    let inserted = store::insert_many!(tx, "INSERT INTO things (id, amount)", rows, |(
        id,
        amount,
    )| [
        id, amount
    ]);
    assert_eq!(inserted.unwrap(), 40_000);
    tx.commit().await.unwrap();
    assert_eq!(amounts(&db).await, rows);
}

#[tokio::test]
async fn rows_that_exist_are_left_out_when_the_tail_says_so() {
    let (_database, db) = database().await;
    let mut tx = db.begin().await.unwrap();
    let insert = async |tx: &mut store::Tx, rows: &[i64]| {
        store::insert_many!(
            tx,
            "INSERT INTO things (id, amount)",
            rows,
            |id| [id, 7_i64],
            "ON CONFLICT (id) DO NOTHING"
        )
        .unwrap()
    };
    assert_eq!(insert(&mut tx, &[1, 2, 3]).await, 3);
    assert_eq!(insert(&mut tx, &[2, 3, 4]).await, 1);
    assert_eq!(insert(&mut tx, &[]).await, 0);
}

#[tokio::test]
async fn long_lists_of_values_are_found_and_changed() {
    let (_database, db) = database().await;
    let rows: Vec<i64> = (0..40_000).collect();
    let mut tx = db.begin().await.unwrap();
    store::insert_many!(tx, "INSERT INTO things (id, amount)", rows, |id| [
        id, 0_i64
    ])
    .unwrap();
    let odd: Vec<i64> = rows.iter().copied().filter(|id| id % 2 == 1).collect();
    let changed =
        store::execute_in!(tx, "UPDATE things SET amount = $1 WHERE id IN", odd, 5_i64).unwrap();
    assert_eq!(changed, 20_000);
    let mut found = store::fetch_in!(
        tx,
        (i64,),
        "SELECT id FROM things WHERE amount = $1 AND amount < $2 AND id IN",
        rows,
        5_i64,
        6_i64
    )
    .unwrap();
    found.sort_unstable();
    assert_eq!(found.iter().map(|(id,)| *id).collect::<Vec<_>>(), odd);
}

#[tokio::test]
async fn rows_are_changed_each_in_its_own_way() {
    let (_database, db) = database().await;
    let mut tx = db.begin().await.unwrap();
    let rows: Vec<i64> = (0..300).collect();
    store::insert_many!(tx, "INSERT INTO things (id, amount)", rows, |id| [id, id]).unwrap();
    let changed = store::update_many!(
        tx,
        "UPDATE things SET amount = things.amount + new.column2",
        rows.get(..100).unwrap(),
        |id| [id, id * 10],
        "WHERE things.id = new.column1"
    );
    assert_eq!(changed.unwrap(), 100);
    tx.commit().await.unwrap();
    let expected: Vec<_> = (0..300)
        .map(|id| (id, if id < 100 { id * 11 } else { id }))
        .collect();
    assert_eq!(amounts(&db).await, expected);
}

#[tokio::test]
async fn an_insert_returns_only_the_rows_that_are_new() {
    let (_database, db) = database().await;
    let mut tx = db.begin().await.unwrap();
    let insert = async |tx: &mut store::Tx, rows: &[i64]| {
        let new: Result<Vec<(i64,)>, _> = store::insert_many_returning!(
            tx,
            (i64,),
            "INSERT INTO things (id, amount)",
            rows,
            |id| [id, 7_i64],
            "ON CONFLICT (id) DO NOTHING RETURNING id"
        );
        let mut new: Vec<i64> = new.unwrap().into_iter().map(|(id,)| id).collect();
        new.sort_unstable();
        new
    };
    assert_eq!(insert(&mut tx, &[1, 2, 3]).await, [1, 2, 3]);
    assert_eq!(insert(&mut tx, &[2, 3, 4]).await, [4]);
}

#[tokio::test]
async fn rows_are_locked_in_the_order_that_is_asked_for() {
    let (_database, db) = database().await;
    let mut tx = db.begin().await.unwrap();
    store::insert_many!(
        tx,
        "INSERT INTO things (id, amount)",
        [1_i64, 2, 3, 4],
        |id| [id, -id]
    )
    .unwrap();
    let wanted = [1_i64, 2, 4, 9];
    let found: Vec<(i64,)> = store::fetch_in_locked!(
        tx,
        (i64,),
        "SELECT id FROM things WHERE amount < $1 AND id IN",
        wanted,
        "ORDER BY amount",
        0_i64
    )
    .unwrap();
    assert_eq!(found, [(4,), (2,), (1,)]);
}

#[tokio::test]
async fn a_list_that_is_filled_up_changes_and_finds_each_row_once() {
    let (_database, db) = database().await;
    let mut tx = db.begin().await.unwrap();
    let rows: Vec<i64> = (0..11).collect();
    store::insert_many!(tx, "INSERT INTO things (id, amount)", rows, |id| [id, id]).unwrap();
    let changed = store::update_many!(
        tx,
        "UPDATE things SET amount = things.amount + new.column2",
        rows,
        |id| [id, 100_i64],
        "WHERE things.id = new.column1"
    );
    assert_eq!(changed.unwrap(), 11);
    let found: Vec<(i64,)> = store::fetch_in_rows_locked!(
        tx,
        (i64,),
        "SELECT id FROM things WHERE (id, amount) IN",
        [(9_i64, 109_i64), (3, 103), (4, 4)],
        |row| [row.0, row.1],
        "AND amount > 0 ORDER BY id"
    )
    .unwrap();
    assert_eq!(found, [(3,), (9,)]);
    let returned: Vec<(i64,)> = store::update_many_returning!(
        tx,
        (i64,),
        "UPDATE things SET amount = things.amount + new.column2",
        rows,
        |id| [id, 0_i64],
        "WHERE things.id = new.column1 RETURNING things.id"
    )
    .unwrap();
    assert_eq!(returned.len(), 11);
    let every: Vec<(i64,)> =
        store::fetch_in!(tx, (i64,), "SELECT id FROM things WHERE id IN", rows).unwrap();
    assert_eq!(every.len(), 11);
    tx.commit().await.unwrap();
    let expected: Vec<_> = rows.iter().map(|id| (*id, id + 100)).collect();
    assert_eq!(amounts(&db).await, expected);
}
