-- People and terminals that may sign in.
CREATE TABLE users (
    id            uuid        NOT NULL PRIMARY KEY,
    -- As its owner writes it, and folded for comparison.
    email         text        NOT NULL,
    email_key     text        NOT NULL,
    display_name  text        NOT NULL,
    -- argon2id, PHC string format: parameters and salt travel with each hash.
    password_hash text        NOT NULL,
    disabled      boolean     NOT NULL,
    -- Counts changes; a change names the version it was made from.
    version       bigint      NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);

CREATE UNIQUE INDEX users_by_email ON users (email_key);

CREATE TABLE user_roles (
    user_id uuid NOT NULL REFERENCES users (id),
    role    text NOT NULL,
    PRIMARY KEY (user_id, role)
);

CREATE INDEX user_roles_by_role ON user_roles (role, user_id);

-- The stores in which the roles hold; an owner's hold everywhere.
CREATE TABLE user_stores (
    user_id  uuid NOT NULL REFERENCES users (id),
    store_id uuid NOT NULL,
    PRIMARY KEY (user_id, store_id)
);

CREATE INDEX user_stores_by_store ON user_stores (store_id, user_id);
