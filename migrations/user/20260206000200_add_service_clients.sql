-- Applications that act for themselves, without a person (RFC 6749, section 4.4).

-- The `sid` of the tokens that such an application gets now; null for one that acts for people only.
-- Every change of the application makes another one.
ALTER TABLE oidc_clients ADD COLUMN service_session_id uuid;
-- Where they hold: "*" for every store, or a JSON array of ids.
ALTER TABLE oidc_clients ADD COLUMN service_stores jsonb;

-- Those of before, until their last token has run out.
CREATE TABLE ended_service_sessions (
    session_id uuid        NOT NULL PRIMARY KEY,
    ended_at   timestamptz NOT NULL
);

CREATE INDEX ended_service_sessions_by_end ON ended_service_sessions (ended_at);
