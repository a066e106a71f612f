-- Places that sell. Rows never change: orders were priced and dated by them.
CREATE TABLE stores (
    id         uuid        NOT NULL PRIMARY KEY,
    name       text        NOT NULL,
    -- IANA name.
    time_zone  text        NOT NULL,
    -- ISO 4217.
    currency   text        NOT NULL,
    -- HH:MM on the store's clock.
    cutoff     text        NOT NULL,
    created_at timestamptz NOT NULL
);

-- Sellable variants, the same in every store.
CREATE TABLE menu_items (
    id             uuid        NOT NULL PRIMARY KEY,
    sku            text        NOT NULL UNIQUE,
    name           text        NOT NULL,
    product_key    text        NOT NULL,
    product_name   text        NOT NULL,
    category       text        NOT NULL,
    -- Minor units.
    price_amount   bigint      NOT NULL CHECK (price_amount >= 0),
    price_currency text        NOT NULL,
    active         boolean     NOT NULL,
    updated_at     timestamptz NOT NULL
);
