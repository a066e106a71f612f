-- How far the placing of an order is, and who works on it.
CREATE TABLE sagas (
    order_id        uuid        NOT NULL PRIMARY KEY REFERENCES orders (id),
    -- reserve, authorize, commit, capture, undo, confirmed or cancelled
    position        text        NOT NULL,
    -- Attempts at the present action without a clear outcome.
    failed          bigint      NOT NULL,
    -- What is still to be undone, first to last, with failed attempts: [["void", 2], ["release", 0]]
    undo            jsonb       NOT NULL,
    cancel_reason   text,
    intent_id       uuid,
    -- After this, a step without a clear outcome is given up.
    deadline        timestamptz NOT NULL,
    -- Erased as soon as the payment is authorized or given up.
    payment_token   text,
    -- Grows with every write; a driver that lost the saga cannot write.
    version         bigint      NOT NULL,
    -- When there is something to do; absent when the saga has ended.
    next_attempt_at timestamptz,
    -- Until when a driver works on it.
    leased_until    timestamptz,
    -- Since when an undo has failed so often that a person should look.
    parked_at       timestamptz,
    steps_logged    bigint      NOT NULL,
    -- The request that placed the order.
    caller          text        NOT NULL,
    idempotency_key text        NOT NULL,
    request_id      text        NOT NULL,
    traceparent     text        NOT NULL,
    updated_at      timestamptz NOT NULL
);

CREATE INDEX sagas_to_do ON sagas (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX sagas_parked ON sagas (parked_at, order_id) WHERE parked_at IS NOT NULL;
CREATE INDEX sagas_by_request ON sagas (caller, idempotency_key);

-- Every attempt at every step: the timeline of an order.
CREATE TABLE saga_steps (
    order_id   uuid        NOT NULL REFERENCES orders (id),
    seq        bigint      NOT NULL,
    -- reserve, authorize, commit, capture, release, void or restock
    step       text        NOT NULL,
    attempt    bigint      NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz NOT NULL,
    -- done, refused, rejected, unclear or already_committed
    outcome    text        NOT NULL,
    -- A code or a few words: out_of_stock, insufficient_funds, no answer in time.
    detail     text,
    PRIMARY KEY (order_id, seq)
);
