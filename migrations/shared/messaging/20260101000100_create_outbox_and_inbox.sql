-- Events that a committed change promised to tell, one row for each destination.
CREATE TABLE outbox (
    event_id     uuid        NOT NULL,
    destination  text        NOT NULL,
    seq          bigint      NOT NULL,
    type         text        NOT NULL,
    body         text        NOT NULL,
    created_at   timestamptz NOT NULL,
    attempts     bigint      NOT NULL DEFAULT 0,
    last_error   text,
    published_at timestamptz,
    PRIMARY KEY (event_id, destination)
);

CREATE INDEX outbox_waiting ON outbox (destination, seq) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;

-- Events whose effect is committed.
CREATE TABLE inbox (
    event_id    uuid        PRIMARY KEY,
    type        text        NOT NULL,
    received_at timestamptz NOT NULL
);

CREATE INDEX inbox_by_age ON inbox (received_at);

-- Events that could not take effect, for a person to look at.
CREATE TABLE parked_events (
    event_id    uuid        PRIMARY KEY,
    type        text        NOT NULL,
    body        text        NOT NULL,
    reason      text        NOT NULL,
    attempts    bigint      NOT NULL,
    parked_at   timestamptz NOT NULL,
    redriven_at timestamptz
);

CREATE INDEX parked_events_by_time ON parked_events (parked_at, event_id);
