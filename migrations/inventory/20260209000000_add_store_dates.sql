-- The date on the store's calendar when the order was placed; unknown for reservations of before.
ALTER TABLE reservations ADD COLUMN store_date date;
