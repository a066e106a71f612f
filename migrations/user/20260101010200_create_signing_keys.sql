-- Ed25519 keys that sign tokens. Several may be published at once, so that a rotation overlaps.
CREATE TABLE signing_keys (
    -- Thumbprint of the public key (RFC 7638).
    kid                text        NOT NULL PRIMARY KEY,
    -- 1, 2, ..: of replicas that make the same key at once, one wins.
    generation         bigint      NOT NULL,
    -- Base64url of the 32 bytes.
    public_key         text        NOT NULL,
    -- Base64url of nonce, AES-256-GCM ciphertext of the PKCS#8 document, and tag.
    sealed_private_key text        NOT NULL,
    created_at         timestamptz NOT NULL,
    -- Published from its creation, used for signing only from here on.
    signs_from         timestamptz NOT NULL,
    -- No longer published from here on; null until a rotation sets it.
    published_until    timestamptz
);

CREATE UNIQUE INDEX signing_keys_by_generation ON signing_keys (generation);
