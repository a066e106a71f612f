-- Where a session was opened, so that a person recognizes it.
ALTER TABLE sessions ADD COLUMN device text;
ALTER TABLE sessions ADD COLUMN address text;

-- What every service is told of: sessions ended, and accounts whose rights changed. Tokens made from
-- an earlier version of the account than access_version are refused.
CREATE INDEX sessions_by_revocation ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;
ALTER TABLE users ADD COLUMN access_version bigint NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN access_changed_at timestamptz;
CREATE INDEX users_by_access_change ON users (access_changed_at) WHERE access_changed_at IS NOT NULL;
