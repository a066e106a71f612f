-- Double entry: the entries of a transaction sum to zero. Rows are only ever added.
CREATE TABLE ledger_transactions (
    -- The operation that moved the money; it is booked once.
    id        uuid        PRIMARY KEY REFERENCES operations (id),
    intent_id uuid        NOT NULL REFERENCES intents (id),
    store_id  uuid        NOT NULL,
    booked_at timestamptz NOT NULL
);

-- Debits are positive, credits negative.
CREATE TABLE ledger_entries (
    transaction_id uuid   NOT NULL REFERENCES ledger_transactions (id),
    entry_no       bigint NOT NULL,
    store_id       uuid   NOT NULL,
    account        text   NOT NULL,
    amount         bigint NOT NULL CHECK (amount <> 0),
    currency       text   NOT NULL,
    PRIMARY KEY (transaction_id, entry_no)
);

CREATE INDEX ledger_entries_by_account ON ledger_entries (store_id, account, currency, amount);
