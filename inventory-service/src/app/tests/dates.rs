//! What may still be used is judged by the calendar of the store, not by that of UTC.

use super::*;

/// A store with ten pieces, which may be used until 10 March; an item is five of them.
async fn last_day() -> (World, Place, ItemId) {
    let world = World::new().await;
    let place = (world.new_store(), world.product("milk").await);
    let item = world.item(&[(place.1, 5)]).await;
    world.receive(place, 10, Some(10)).await;
    (world, place, item)
}

#[tokio::test]
async fn a_lot_is_used_until_its_last_day_ends_at_the_store() {
    let (world, place, item) = last_day().await;
    let evening = world.new_order();
    // West of Greenwich it is still 10 March.
    world.app.clock.advance(Duration::from_secs(13 * 3600));
    let wishes = [wish_on("2026-03-10", evening, place.0, &[(item, 1)])];
    assert!(is_reserved(&world.reserve(&wishes).await[0]));
    // What comes next day is fresher, but the promise was made of what had to be used.
    world.receive(place, 10, Some(20)).await;
    let consumed = world.commit(&[evening]).await;
    assert_eq!(consumed, [Ok(commit::Outcome::Done)]);
    assert_eq!(world.lots(place).await, [5, 10]);
    world.assert_books_agree().await;
}

#[tokio::test]
async fn nothing_is_promised_of_a_lot_whose_last_day_has_ended_at_the_store() {
    let (world, place, item) = last_day().await;
    let wish = |date, order| wish_on(date, order, place.0, &[(item, 1)]);
    // East of Greenwich it is 11 March already.
    let morning = world
        .reserve(&[wish("2026-03-11", world.new_order())])
        .await;
    assert_eq!(shortages(&morning[0]), [("milk".to_owned(), 5, 0)]);
    // Of orders around midnight that come together the later one counts.
    let both = ["2026-03-10", "2026-03-11"].map(|date| wish(date, world.new_order()));
    let replies = world.reserve(&both).await;
    assert_eq!(replies.iter().filter(|reply| is_reserved(reply)).count(), 0);
    let alone = world
        .reserve(&[wish("2026-03-10", world.new_order())])
        .await;
    assert!(is_reserved(&alone[0]));
}
