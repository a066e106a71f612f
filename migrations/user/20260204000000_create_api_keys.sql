-- Keys with which programs act for an account, within scopes and stores.
CREATE TABLE api_keys (
    id           uuid        NOT NULL PRIMARY KEY,
    user_id      uuid        NOT NULL REFERENCES users (id),
    -- What its person calls it.
    name         text        NOT NULL,
    -- Shown, and looked up by.
    prefix       text        NOT NULL,
    -- Hex of the secret's SHA-256; the secret itself is nowhere.
    secret_hash  text        NOT NULL,
    -- Separated by blanks.
    scopes       text        NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    -- Written at most once a minute.
    last_used_at timestamptz,
    revoked_at   timestamptz
);

CREATE UNIQUE INDEX api_keys_by_prefix ON api_keys (prefix);
CREATE INDEX api_keys_by_user ON api_keys (user_id, id);
CREATE INDEX api_keys_by_revocation ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;

-- The stores in which a key may be used; none means wherever its account may.
CREATE TABLE api_key_stores (
    key_id   uuid NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    store_id uuid NOT NULL,
    PRIMARY KEY (key_id, store_id)
);
