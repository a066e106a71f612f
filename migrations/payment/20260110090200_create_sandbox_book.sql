-- The book of the sandbox provider, as if it lay elsewhere: no other table refers to it, and it is
-- written in transactions of its own.
CREATE TABLE sandbox_payments (
    reference  text        PRIMARY KEY,
    amount     bigint      NOT NULL,
    currency   text        NOT NULL,
    -- What later operations on this payment are scripted to do.
    script     text        NOT NULL,
    captured   bigint      NOT NULL,
    refunded   bigint      NOT NULL,
    voided     boolean     NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE sandbox_operations (
    -- The caller's idempotency key.
    key         uuid        PRIMARY KEY,
    kind        text        NOT NULL,
    reference   text,
    amount      bigint      NOT NULL,
    currency    text        NOT NULL,
    -- Null: done. Else the code with which it was declined.
    decline     text,
    -- Until then it is being processed.
    done_at     timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL
);
