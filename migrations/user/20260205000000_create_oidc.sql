-- Applications of third parties that people may let act for them.
CREATE TABLE oidc_clients (
    id           uuid        NOT NULL PRIMARY KEY,
    name         text        NOT NULL,
    -- Hex of the secret's SHA-256; null for applications that cannot keep one.
    secret_hash  text,
    -- JSON arrays of texts, in the order in which they were given.
    redirect_uris             jsonb NOT NULL,
    post_logout_redirect_uris jsonb NOT NULL,
    scopes                    jsonb NOT NULL,
    disabled     boolean     NOT NULL,
    -- Counts changes; a change names the version it was made from.
    version      bigint      NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);

-- Browsers in which somebody signed in on the provider's own page. Each is a session too, so that
-- whatever ends sessions ends them.
CREATE TABLE oidc_browsers (
    session_id       uuid        NOT NULL PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    -- Hex of the SHA-256 of the cookie's secret.
    cookie_hash      text        NOT NULL,
    authenticated_at timestamptz NOT NULL,
    -- How: JSON array of RFC 8176 values.
    methods          jsonb       NOT NULL
);

CREATE UNIQUE INDEX oidc_browsers_by_cookie ON oidc_browsers (cookie_hash);

-- What a person let an application do.
CREATE TABLE oidc_consents (
    user_id    uuid        NOT NULL REFERENCES users (id),
    client_id  uuid        NOT NULL REFERENCES oidc_clients (id) ON DELETE CASCADE,
    -- JSON array of texts.
    scopes     jsonb       NOT NULL,
    granted_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, client_id)
);

CREATE INDEX oidc_consents_by_client ON oidc_consents (client_id);

-- An application that acts for a person. Each is a session too, whose refresh tokens are its own.
CREATE TABLE oidc_grants (
    session_id       uuid        NOT NULL PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    client_id        uuid        NOT NULL REFERENCES oidc_clients (id) ON DELETE CASCADE,
    -- The browser in which it was given: the `sid` of ID tokens. It may be gone.
    browser_id       uuid        NOT NULL,
    scopes           jsonb       NOT NULL,
    authenticated_at timestamptz NOT NULL,
    methods          jsonb       NOT NULL
);

CREATE INDEX oidc_grants_by_client ON oidc_grants (client_id);
CREATE INDEX oidc_grants_by_browser ON oidc_grants (browser_id);

-- Authorization codes (RFC 6749, section 4.1.2). Used ones stay until they are purged, so that a
-- second use is noticed.
CREATE TABLE oidc_codes (
    -- Hex of the code's SHA-256.
    code_hash        text        NOT NULL PRIMARY KEY,
    client_id        uuid        NOT NULL REFERENCES oidc_clients (id) ON DELETE CASCADE,
    user_id          uuid        NOT NULL REFERENCES users (id),
    browser_id       uuid        NOT NULL,
    redirect_uri     text        NOT NULL,
    -- Base64url of the verifier's SHA-256 (RFC 7636, section 4.2, method S256).
    code_challenge   text        NOT NULL,
    nonce            text,
    scopes           jsonb       NOT NULL,
    authenticated_at timestamptz NOT NULL,
    methods          jsonb       NOT NULL,
    expires_at       timestamptz NOT NULL,
    used_at          timestamptz,
    -- What it was exchanged for.
    session_id       uuid
);

CREATE INDEX oidc_codes_by_expiry ON oidc_codes (expires_at);
