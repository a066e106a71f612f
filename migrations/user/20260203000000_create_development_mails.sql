-- Mails that were asked for, readable by the owner while nobody sends them. The development profile
-- alone writes here: links in mails let their holder in.
CREATE TABLE development_mails (
    -- The event's.
    id           uuid        NOT NULL PRIMARY KEY,
    recipient    text        NOT NULL,
    template     text        NOT NULL,
    locale       text        NOT NULL,
    -- A JSON object of texts.
    variables    text        NOT NULL,
    requested_at timestamptz NOT NULL,
    -- Forgotten from here on.
    expires_at   timestamptz NOT NULL
);

CREATE INDEX development_mails_by_expiry ON development_mails (expires_at);
