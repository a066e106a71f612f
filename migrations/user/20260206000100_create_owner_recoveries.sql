-- What the settings asked for once is not done again at the next start.
CREATE TABLE owner_recoveries (
    -- Hex of the SHA-256 of the text in the settings.
    text_hash text        NOT NULL PRIMARY KEY,
    done_at   timestamptz NOT NULL
);
