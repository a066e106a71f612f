CREATE TABLE orders (
    id                  uuid        NOT NULL PRIMARY KEY,
    store_id            uuid        NOT NULL REFERENCES stores (id),
    channel             text        NOT NULL,
    status              text        NOT NULL CHECK (status IN ('pending', 'confirmed', 'cancelling', 'cancelled')),
    cancel_reason       text,
    -- live or imported
    origin              text        NOT NULL,
    placed_at           timestamptz NOT NULL,
    -- placed_at on the store's clock, as it was when the order came.
    local_time          text        NOT NULL,
    business_date       date        NOT NULL,
    currency            text        NOT NULL,
    -- Minor units: the sum of the lines.
    total_amount        bigint      NOT NULL CHECK (total_amount >= 0),
    -- What was sold, with names and prices of that moment. It is always read and written whole.
    lines               jsonb       NOT NULL,
    -- Absent for imported orders.
    payment_method      text,
    -- Where an imported order comes from.
    source              text,
    external_id         text,
    created_at          timestamptz NOT NULL,
    -- When it reached the final status it has.
    closed_at           timestamptz,
    confirmed_at        timestamptz,
    cancel_requested_at timestamptz,
    refunded_at         timestamptz,
    restocked_at        timestamptz
);

CREATE INDEX orders_by_time ON orders (placed_at, id);
CREATE INDEX orders_by_store_and_time ON orders (store_id, placed_at, id);
CREATE UNIQUE INDEX orders_by_external_id ON orders (source, external_id) WHERE source IS NOT NULL;
