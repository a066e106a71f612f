-- Quantities are whole base units: one gram, one millilitre, one piece.

CREATE TABLE products (
    id uuid PRIMARY KEY,
    sku text NOT NULL UNIQUE,
    name text NOT NULL,
    unit text NOT NULL,
    updated_at timestamptz NOT NULL
);

-- What one piece of a menu item consumes.
CREATE TABLE recipe_lines (
    item_id uuid NOT NULL,
    product_id uuid NOT NULL REFERENCES products (id),
    quantity bigint NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (item_id, product_id)
);

CREATE TABLE lots (
    id uuid PRIMARY KEY,
    store_id uuid NOT NULL,
    product_id uuid NOT NULL REFERENCES products (id),
    lot_code text,
    expires_on date,
    unit_cost bigint,
    currency text,
    received_at timestamptz NOT NULL,
    remaining bigint NOT NULL CHECK (remaining >= 0)
);
CREATE INDEX lots_with_stock ON lots (store_id, product_id) WHERE remaining > 0;

-- The fold of the ledger, kept with it in one transaction so that reading it costs one row.
CREATE TABLE balances (
    store_id uuid NOT NULL,
    product_id uuid NOT NULL REFERENCES products (id),
    on_hand bigint NOT NULL CHECK (on_hand >= 0),
    reserved bigint NOT NULL CHECK (reserved >= 0),
    PRIMARY KEY (store_id, product_id),
    CHECK (reserved <= on_hand)
);

-- The ledger: rows are added, never changed. A correction is a movement of its own.
CREATE TABLE movements (
    id uuid PRIMARY KEY,
    store_id uuid NOT NULL,
    product_id uuid NOT NULL REFERENCES products (id),
    lot_id uuid NOT NULL REFERENCES lots (id),
    kind text NOT NULL,
    quantity bigint NOT NULL CHECK (quantity <> 0),
    reference text NOT NULL,
    reason text,
    actor text NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX movements_by_product ON movements (store_id, product_id, id);
CREATE INDEX movements_by_reference ON movements (reference);

-- What an order holds or consumed; one row per order that was ever asked for.
CREATE TABLE reservations (
    order_id uuid PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    -- Unknown for an order that was released before it was reserved.
    store_id uuid,
    state text NOT NULL,
    shortages jsonb,
    command_id text NOT NULL,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE INDEX reservations_held ON reservations (expires_at) WHERE state = 'held';

CREATE TABLE reservation_lines (
    reservation_id uuid NOT NULL REFERENCES reservations (id),
    product_id uuid NOT NULL REFERENCES products (id),
    quantity bigint NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (reservation_id, product_id)
);
