-- A login and all refresh tokens that descend from it: one family.
CREATE TABLE sessions (
    id            uuid        NOT NULL PRIMARY KEY,
    user_id       uuid        NOT NULL REFERENCES users (id),
    created_at    timestamptz NOT NULL,
    last_used_at  timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    -- logout, reuse or disabled.
    revoke_reason text
);

CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
CREATE INDEX sessions_by_last_use ON sessions (last_used_at);

-- Used ones stay as long as their session, so that a second use is noticed.
CREATE TABLE refresh_tokens (
    -- Hex of the token's SHA-256; the token itself is nowhere.
    token_hash   text        NOT NULL PRIMARY KEY,
    session_id   uuid        NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    issued_at    timestamptz NOT NULL,
    used_at      timestamptz,
    -- Random; with it, the presented token and a key outside the database the successor can be
    -- computed again for a client whose answer was lost.
    successor_id uuid
);

CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);

-- Addresses from which an account signed in before; others' failures do not slow them down.
CREATE TABLE known_addresses (
    user_id      uuid        NOT NULL REFERENCES users (id),
    -- Keyed hash of the address: no list of where people are.
    address_key  text        NOT NULL,
    last_seen_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, address_key)
);

CREATE INDEX known_addresses_by_age ON known_addresses (last_seen_at);
