-- What was answered to a write that carried an Idempotency-Key.
CREATE TABLE idempotency_keys (
    caller     text        NOT NULL,
    method     text        NOT NULL,
    path       text        NOT NULL,
    key        text        NOT NULL,
    body_hash  text        NOT NULL,
    status     bigint,
    response   jsonb,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (caller, method, path, key)
);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
