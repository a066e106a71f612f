-- Sign-ins with a passkey that were finished. What was begun is with the client, signed; here is what
-- must not be used again, for as long as it is good.
CREATE TABLE used_passkey_logins (
    id         uuid        NOT NULL PRIMARY KEY,
    expires_at timestamptz NOT NULL
);

CREATE INDEX used_passkey_logins_by_expiry ON used_passkey_logins (expires_at);
