-- Passkeys: public keys that sign people in (WebAuthn, Level 3).
CREATE TABLE passkeys (
    id            uuid        NOT NULL PRIMARY KEY,
    -- Base64url of what the authenticator calls the key.
    credential_id text        NOT NULL,
    user_id       uuid        NOT NULL REFERENCES users (id),
    name          text        NOT NULL,
    -- The public key with its counter and flags, as the WebAuthn library writes it.
    credential    jsonb       NOT NULL,
    -- Signatures counted by the authenticator; 0 for one that does not count.
    counter       bigint      NOT NULL,
    -- Whether it is kept in more than one place.
    backed_up     boolean     NOT NULL,
    created_at    timestamptz NOT NULL,
    last_used_at  timestamptz
);

CREATE UNIQUE INDEX passkeys_by_credential ON passkeys (credential_id);
CREATE INDEX passkeys_by_user ON passkeys (user_id);

-- Ceremonies under way. Each is deleted by its first use.
CREATE TABLE passkey_challenges (
    id         uuid        NOT NULL PRIMARY KEY,
    -- Who registers a passkey; null for a sign-in.
    user_id    uuid        REFERENCES users (id),
    -- As the WebAuthn library writes it.
    state      jsonb       NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE INDEX passkey_challenges_by_expiry ON passkey_challenges (expires_at);
