-- The end of a cancellation after which nothing went back any more is no refund.
DELETE FROM refunds WHERE amount = 0;
