-- The registry: which instances of which services there are and how they are. Every change takes the
-- next number from registry_state, whose row lock makes the numbers commit in their order.

CREATE TABLE registry_state (
    id bigint PRIMARY KEY CHECK (id = 1),
    change_index bigint NOT NULL
);

INSERT INTO registry_state (id, change_index) VALUES (1, 1);

CREATE TABLE registry_instances (
    service text NOT NULL,
    instance_id text NOT NULL,
    -- http://host:port
    base_url text NOT NULL,
    -- An object of texts, for people and programs.
    metadata jsonb NOT NULL,
    -- A list of texts, as Consul's clients use them.
    tags jsonb NOT NULL,
    -- Its share of the traffic relative to its siblings.
    weight bigint NOT NULL CHECK (weight > 0),
    -- Who registered it: the name of a service, or the id of an account.
    registered_by text NOT NULL,
    registered_at timestamptz NOT NULL,
    -- The number of the change that registered it, and of the last change.
    created_index bigint NOT NULL,
    change_index bigint NOT NULL,
    PRIMARY KEY (service, instance_id)
);

CREATE TABLE registry_checks (
    service text NOT NULL,
    instance_id text NOT NULL,
    check_id text NOT NULL,
    name text NOT NULL,
    -- 'lease' and 'ttl' are told by the instance, 'http' is asked by a gateway.
    kind text NOT NULL CHECK (kind IN ('lease', 'ttl', 'http')),
    -- What is asked, for 'http'.
    url text,
    -- Time between two questions, or within which the instance must tell.
    period_ms bigint NOT NULL CHECK (period_ms > 0),
    -- Longest wait for an answer, for 'http'.
    timeout_ms bigint,
    -- The instance is removed when the check has been critical for so long; null is never.
    remove_after_ms bigint,
    status text NOT NULL CHECK (status IN ('unknown', 'passing', 'warning', 'critical')),
    -- The last word about it, for people.
    output text NOT NULL,
    -- When it becomes critical if nothing is told, for 'lease' and 'ttl'.
    expires_at timestamptz,
    critical_since timestamptz,
    change_index bigint NOT NULL,
    PRIMARY KEY (service, instance_id, check_id),
    FOREIGN KEY (service, instance_id)
        REFERENCES registry_instances (service, instance_id) ON DELETE CASCADE
);

CREATE INDEX registry_checks_by_expiry ON registry_checks (expires_at)
    WHERE expires_at IS NOT NULL;
CREATE INDEX registry_checks_by_critical ON registry_checks (critical_since)
    WHERE critical_since IS NOT NULL;
CREATE INDEX registry_checks_by_id ON registry_checks (check_id);
CREATE INDEX registry_instances_by_id ON registry_instances (instance_id);

-- What happened, for those who watch; old rows are deleted.
CREATE TABLE registry_changes (
    change_index bigint PRIMARY KEY,
    service text NOT NULL,
    instance_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('registered', 'changed', 'status', 'deregistered', 'expired')),
    -- The status after the change: HEALTHY, UNHEALTHY or UNKNOWN; null when it is gone.
    status text,
    happened_at timestamptz NOT NULL
);
