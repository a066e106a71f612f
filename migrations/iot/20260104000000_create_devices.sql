CREATE TABLE devices (
    id uuid PRIMARY KEY,
    store_id uuid NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    -- SHA-256 of a random 256-bit password, hex: too much entropy to guess, so no slow hash.
    password_sha256 text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX devices_by_store ON devices (store_id, id);

-- A device, a metric and a moment are one reading, however often it is sent.
CREATE TABLE readings (
    device_id uuid NOT NULL REFERENCES devices (id),
    metric text NOT NULL,
    measured_at timestamptz NOT NULL,
    value double precision NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (device_id, metric, measured_at)
);
