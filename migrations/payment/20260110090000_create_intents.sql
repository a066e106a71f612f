-- One row for each order: its lock serialises everything that happens to the order's money.
CREATE TABLE payment_orders (
    order_id     uuid        PRIMARY KEY,
    -- Set when the order must not hold money any more.
    voided_at    timestamptz,
    -- Set by order.cancelled.v1: the order waits to hear that it holds no money.
    cancelled_at timestamptz,
    -- Set when it was told.
    closed_at    timestamptz,
    created_at   timestamptz NOT NULL
);

CREATE TABLE intents (
    id                 uuid        PRIMARY KEY,
    order_id           uuid        NOT NULL REFERENCES payment_orders (order_id),
    store_id           uuid        NOT NULL,
    attempt            bigint      NOT NULL,
    command_id         text        NOT NULL,
    method             text        NOT NULL,
    amount             bigint      NOT NULL CHECK (amount > 0),
    currency           text        NOT NULL,
    state              text        NOT NULL,
    captured           bigint      NOT NULL,
    refunded           bigint      NOT NULL CHECK (refunded >= 0),
    decline_code       text,
    -- The provider's token of the payment method; erased when the authorization is settled.
    token              text,
    -- What the provider calls the authorization.
    provider_reference text,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    UNIQUE (order_id, attempt),
    CHECK (refunded <= captured AND captured <= amount)
);

CREATE UNIQUE INDEX intents_one_live_per_order ON intents (order_id) WHERE state <> 'declined';
CREATE INDEX intents_by_store ON intents (store_id, id);

-- What the provider is asked to do. Stored before it is asked; the id is the key it is asked with.
CREATE TABLE operations (
    id           uuid        PRIMARY KEY,
    intent_id    uuid        NOT NULL REFERENCES intents (id),
    kind         text        NOT NULL,
    attempt      bigint      NOT NULL,
    amount       bigint      NOT NULL CHECK (amount > 0),
    currency     text        NOT NULL,
    state        text        NOT NULL,
    code         text,
    reason       text,
    -- Who asked for it with which Idempotency-Key, for refunds that a person asked for.
    requested_by text,
    request_key  text,
    -- Whether a request that nobody answered may have reached the provider.
    uncertain    boolean     NOT NULL,
    sends        bigint      NOT NULL,
    asks         bigint      NOT NULL,
    sent_at      timestamptz,
    -- When to ask the provider about it, while it is not settled.
    next_ask_at  timestamptz NOT NULL,
    created_at   timestamptz NOT NULL,
    settled_at   timestamptz,
    UNIQUE (intent_id, kind, attempt)
);

CREATE UNIQUE INDEX operations_by_request ON operations (intent_id, requested_by, request_key)
    WHERE request_key IS NOT NULL;
CREATE INDEX operations_due ON operations (next_ask_at) WHERE settled_at IS NULL;
