-- Who did what: a chain in which every entry carries the hash of the one before it
-- (crates/contracts/src/audit.rs). Rows are only ever added; the service adds triggers that refuse
-- anything else.
CREATE TABLE audit_entries (
    -- 1, 2, .. without gaps.
    seq           bigint      NOT NULL PRIMARY KEY,
    id            text        NOT NULL,
    at            timestamptz NOT NULL,
    actor_kind    text        NOT NULL,
    actor_id      text,
    action        text        NOT NULL,
    target_kind   text,
    target_id     text,
    store_id      text,
    -- Canonical JSON, without secrets and names.
    state_before  text,
    state_after   text,
    address       text,
    request_id    text,
    previous_hash text        NOT NULL,
    hash          text        NOT NULL
);

CREATE INDEX audit_entries_by_time ON audit_entries (at, seq);
CREATE INDEX audit_entries_by_actor ON audit_entries (actor_id, seq);
CREATE INDEX audit_entries_by_action ON audit_entries (action, seq);

-- The end of the chain: one row, locked by whoever adds an entry.
CREATE TABLE audit_head (
    id   bigint NOT NULL PRIMARY KEY CHECK (id = 1),
    seq  bigint NOT NULL,
    hash text   NOT NULL
);

INSERT INTO audit_head (id, seq, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

-- Signatures over the chain up to an entry; one over an entry that is gone shows that the end of
-- the chain was cut off.
CREATE TABLE audit_seals (
    seq        bigint      NOT NULL PRIMARY KEY,
    hash       text        NOT NULL,
    at         timestamptz NOT NULL,
    kid        text        NOT NULL,
    public_key text        NOT NULL,
    signature  text        NOT NULL
);
