ALTER TABLE users ADD COLUMN locale text;
-- When somebody showed that mails to the address are read; null until then.
ALTER TABLE users ADD COLUMN email_verified_at timestamptz;
-- When the person's data was removed; the id stays where records must be kept.
ALTER TABLE users ADD COLUMN erased_at timestamptz;

-- A session that a PIN opened holds in the store of its device alone.
ALTER TABLE sessions ADD COLUMN device_id uuid;
ALTER TABLE sessions ADD COLUMN store_id uuid;
CREATE INDEX sessions_by_device ON sessions (device_id) WHERE device_id IS NOT NULL;

-- Links that were mailed to the holder of an account, each good for one use.
CREATE TABLE link_tokens (
    -- Hex of the token's SHA-256; the token itself stands in the mail alone.
    token_hash text        NOT NULL PRIMARY KEY,
    -- verify_email or reset_password.
    purpose    text        NOT NULL,
    user_id    uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- The address that the mail went to.
    email      text        NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE INDEX link_tokens_by_user ON link_tokens (user_id, purpose);
CREATE INDEX link_tokens_by_expiry ON link_tokens (expires_at);

-- Accounts that somebody may make. Gone once one is made or the invitation is taken back.
CREATE TABLE invitations (
    id           uuid        NOT NULL PRIMARY KEY,
    email        text        NOT NULL,
    email_key    text        NOT NULL,
    display_name text        NOT NULL,
    role         text        NOT NULL,
    -- A JSON array of ids.
    stores       text        NOT NULL,
    locale       text        NOT NULL,
    invited_by   uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash   text        NOT NULL,
    created_at   timestamptz NOT NULL,
    sent_at      timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL
);

CREATE UNIQUE INDEX invitations_by_email ON invitations (email_key);
CREATE UNIQUE INDEX invitations_by_token ON invitations (token_hash);
CREATE INDEX invitations_by_inviter ON invitations (invited_by, id);
CREATE INDEX invitations_by_expiry ON invitations (expires_at);

-- Forgotten passwords, written down alike whether the account exists or not and looked up afterwards,
-- so that the answer says nothing of it, in no way.
CREATE TABLE reset_requests (
    id        uuid        NOT NULL PRIMARY KEY,
    email_key text        NOT NULL,
    asked_at  timestamptz NOT NULL
);

-- A generator of one-time codes (RFC 6238), at most one for each account.
CREATE TABLE totp_factors (
    user_id       uuid        NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    -- Base64url of nonce, AES-256-GCM ciphertext and tag.
    sealed_secret text        NOT NULL,
    created_at    timestamptz NOT NULL,
    -- Asked for at logins from here on; null until a first code proved that it works.
    confirmed_at  timestamptz,
    -- No code of this time step or an earlier one is taken (again).
    last_step     bigint      NOT NULL
);

-- Each takes the place of one code of the generator, once.
CREATE TABLE recovery_codes (
    user_id   uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- Keyed hash: the database alone is not enough to guess one.
    code_hash text NOT NULL,
    PRIMARY KEY (user_id, code_hash)
);

-- Logins whose password was right and whose second factor is awaited.
CREATE TABLE mfa_challenges (
    token_hash text        NOT NULL PRIMARY KEY,
    user_id    uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    failures   bigint      NOT NULL
);

CREATE INDEX mfa_challenges_by_user ON mfa_challenges (user_id);
CREATE INDEX mfa_challenges_by_expiry ON mfa_challenges (expires_at);

-- Terminals at which people of a store take turns.
CREATE TABLE pos_devices (
    id            uuid        NOT NULL PRIMARY KEY,
    store_id      uuid        NOT NULL,
    name          text        NOT NULL,
    token_hash    text        NOT NULL,
    registered_by uuid        NOT NULL,
    created_at    timestamptz NOT NULL,
    last_used_at  timestamptz,
    revoked_at    timestamptz
);

CREATE UNIQUE INDEX pos_devices_by_token ON pos_devices (token_hash);
CREATE INDEX pos_devices_by_store ON pos_devices (store_id, id);

-- What somebody types at such a terminal; argon2id over a keyed hash, because so few digits are soon
-- guessed from a hash alone.
CREATE TABLE user_pins (
    user_id  uuid        NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    pin_hash text        NOT NULL,
    set_at   timestamptz NOT NULL
);
