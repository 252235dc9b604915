-- The first schema. A shipped step is never edited: what changes later is a step of its own.
--
-- Every row belongs to a tenant, named by its incarnation (16 bytes, never used again). What is searched, constrained
-- or ordered is a column; the rest of a record is JSON in `body`. Times are milliseconds since 1970, UTC.
-- Tables whose rows are large have a rowid, so that the body does not sit in the tree that is searched.

CREATE TABLE pp_meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE pp_organization (
    incarnation BLOB    NOT NULL PRIMARY KEY CHECK (octet_length(incarnation) = 16),
    id          TEXT    NOT NULL UNIQUE      CHECK (octet_length(id) BETWEEN 1 AND 64),
    version     INTEGER NOT NULL             CHECK (version >= 1),
    created_at  INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    body        TEXT    NOT NULL             CHECK (octet_length(body) <= 524288 AND json_valid(body))
) STRICT;
CREATE INDEX pp_organization_listed ON pp_organization (created_at, id);

-- `former_key` is the publishable key before the present one. No account's present key is another one's former key.
CREATE TABLE pp_merchant (
    incarnation     BLOB    NOT NULL PRIMARY KEY CHECK (octet_length(incarnation) = 16),
    organization    BLOB    NOT NULL             REFERENCES pp_organization (incarnation),
    id              TEXT    NOT NULL UNIQUE      CHECK (octet_length(id) BETWEEN 1 AND 64),
    version         INTEGER NOT NULL             CHECK (version >= 1),
    created_at      INTEGER NOT NULL,
    modified_at     INTEGER NOT NULL,
    publishable_key TEXT    NOT NULL UNIQUE      CHECK (octet_length(publishable_key) BETWEEN 1 AND 512),
    former_key      TEXT                         CHECK (octet_length(former_key) BETWEEN 1 AND 512),
    body            TEXT    NOT NULL             CHECK (octet_length(body) <= 524288 AND json_valid(body))
) STRICT;
CREATE INDEX pp_merchant_listed ON pp_merchant (organization, created_at, id);
CREATE UNIQUE INDEX pp_merchant_former_key ON pp_merchant (former_key) WHERE former_key IS NOT NULL;

-- A tenant is an organization or a merchant account; `holder` says which. `wrapped_by` is the key of the keyring that
-- wrapped it, empty where the envelope names none.
CREATE TABLE pp_data_key (
    tenant       BLOB    NOT NULL CHECK (octet_length(tenant) = 16),
    id           TEXT    NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 64),
    version      INTEGER NOT NULL CHECK (version >= 1),
    created_at   INTEGER NOT NULL,
    modified_at  INTEGER NOT NULL,
    holder       TEXT    NOT NULL CHECK (holder IN ('organization', 'merchant')),
    wrapped_by   TEXT             CHECK (octet_length(wrapped_by) BETWEEN 1 AND 64),
    body         TEXT    NOT NULL CHECK (octet_length(body) <= 524288 AND json_valid(body)),
    organization BLOB    AS (iif(holder = 'organization', tenant, NULL)) REFERENCES pp_organization (incarnation),
    merchant     BLOB    AS (iif(holder = 'merchant', tenant, NULL))     REFERENCES pp_merchant (incarnation),
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX pp_data_key_wrapped ON pp_data_key (wrapped_by, created_at, id);
CREATE INDEX pp_data_key_of_organization ON pp_data_key (organization) WHERE organization IS NOT NULL;
CREATE INDEX pp_data_key_of_merchant ON pp_data_key (merchant) WHERE merchant IS NOT NULL;

CREATE TABLE pp_profile (
    merchant    BLOB    NOT NULL REFERENCES pp_merchant (incarnation),
    id          TEXT    NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 64),
    version     INTEGER NOT NULL CHECK (version >= 1),
    created_at  INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    name        TEXT    NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 256),
    is_default  INTEGER NOT NULL CHECK (is_default IN (0, 1)),
    body        TEXT    NOT NULL CHECK (octet_length(body) <= 524288 AND json_valid(body)),
    PRIMARY KEY (merchant, id),
    UNIQUE (merchant, name)
) STRICT;
CREATE UNIQUE INDEX pp_profile_default ON pp_profile (merchant) WHERE is_default = 1;
CREATE INDEX pp_profile_listed ON pp_profile (merchant, created_at, id);

CREATE TABLE pp_connector (
    merchant    BLOB    NOT NULL,
    id          TEXT    NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 64),
    version     INTEGER NOT NULL CHECK (version >= 1),
    created_at  INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    profile     TEXT    NOT NULL,
    label       TEXT    NOT NULL CHECK (octet_length(label) BETWEEN 1 AND 1020),
    body        TEXT    NOT NULL CHECK (octet_length(body) <= 524288 AND json_valid(body)),
    PRIMARY KEY (merchant, id),
    UNIQUE (merchant, profile, label),
    FOREIGN KEY (merchant, profile) REFERENCES pp_profile (merchant, id)
) STRICT;
CREATE INDEX pp_connector_listed ON pp_connector (merchant, created_at, id);
CREATE INDEX pp_connector_of_profile ON pp_connector (merchant, profile, created_at, id);

-- `active` is the number of the version that decides, empty where none does.
CREATE TABLE pp_routing_program (
    merchant    BLOB    NOT NULL,
    id          TEXT    NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 64),
    version     INTEGER NOT NULL CHECK (version >= 1),
    created_at  INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    profile     TEXT    NOT NULL,
    active      INTEGER          CHECK (active >= 1),
    body        TEXT    NOT NULL CHECK (octet_length(body) <= 524288 AND json_valid(body)),
    PRIMARY KEY (merchant, id),
    FOREIGN KEY (merchant, profile) REFERENCES pp_profile (merchant, id)
) STRICT;
CREATE UNIQUE INDEX pp_routing_program_active ON pp_routing_program (merchant, profile) WHERE active IS NOT NULL;
CREATE INDEX pp_routing_program_listed ON pp_routing_program (merchant, created_at, id);
CREATE INDEX pp_routing_program_of_profile ON pp_routing_program (merchant, profile, created_at, id);

-- `id` is that of the program, a full stop, and the number in five digits.
CREATE TABLE pp_routing_version (
    merchant    BLOB    NOT NULL,
    id          TEXT    NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 70),
    version     INTEGER NOT NULL CHECK (version >= 1),
    created_at  INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    program     TEXT    NOT NULL,
    body        TEXT    NOT NULL CHECK (octet_length(body) <= 524288 AND json_valid(body)),
    PRIMARY KEY (merchant, id),
    FOREIGN KEY (merchant, program) REFERENCES pp_routing_program (merchant, id)
) STRICT;
CREATE INDEX pp_routing_version_listed ON pp_routing_version (merchant, created_at, id);
CREATE INDEX pp_routing_version_of_program ON pp_routing_version (merchant, program, created_at, id);

-- `digest` is empty once the key is revoked; two empty ones are not equal. `pepper` is the key of the keyring that it was
-- made under. `used_at` is the mark of the last use, written beside the record's versions.
CREATE TABLE pp_api_key (
    merchant    BLOB    NOT NULL REFERENCES pp_merchant (incarnation),
    id          TEXT    NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 64),
    version     INTEGER NOT NULL CHECK (version >= 1),
    created_at  INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    digest      BLOB    UNIQUE   CHECK (octet_length(digest) = 32),
    pepper      TEXT             CHECK (octet_length(pepper) BETWEEN 1 AND 64),
    expires_at  INTEGER,
    revoked_at  INTEGER,
    used_at     INTEGER,
    body        TEXT    NOT NULL CHECK (octet_length(body) <= 524288 AND json_valid(body)),
    PRIMARY KEY (merchant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX pp_api_key_listed ON pp_api_key (merchant, created_at, id);
CREATE INDEX pp_api_key_under ON pp_api_key (pepper, created_at, id) WHERE pepper IS NOT NULL;
CREATE INDEX pp_api_key_ending ON pp_api_key (expires_at, id) WHERE pepper IS NOT NULL AND expires_at IS NOT NULL;
CREATE INDEX pp_api_key_idle ON pp_api_key (coalesce(used_at, created_at), id) WHERE pepper IS NOT NULL;

-- `id` is the whole name of the entry, `{kind}:{value}`, and `{kind}@{profile}:{value}` where it holds for one profile
-- only. There may be ten millions of them, so that nothing is in a row twice or in JSON that need not be: `kind` is 1 for
-- card_bin, 2 for card_prefix, 3 for card_range, 4 for extended_card_bin, 5 for fingerprint, as the names sort; `action`
-- is 0 for block, 1 for allow. The view says both in words.
CREATE TABLE pp_block_rule (
    merchant    BLOB    NOT NULL REFERENCES pp_merchant (incarnation),
    id          TEXT    NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 512),
    version     INTEGER NOT NULL CHECK (version >= 1),
    created_at  INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    kind        INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 5),
    profile     TEXT,
    expires_at  INTEGER,
    action      INTEGER NOT NULL CHECK (action IN (0, 1)),
    reason      TEXT             CHECK (octet_length(reason) BETWEEN 1 AND 1020),
    source      TEXT             CHECK (octet_length(source) BETWEEN 1 AND 1020),
    author      TEXT    NOT NULL CHECK (octet_length(author) BETWEEN 1 AND 1024),
    metadata    TEXT             CHECK (octet_length(metadata) <= 65536 AND json_valid(metadata)),
    PRIMARY KEY (merchant, id),
    FOREIGN KEY (merchant, profile) REFERENCES pp_profile (merchant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX pp_block_rule_of_kind ON pp_block_rule (merchant, kind, created_at, id);
CREATE INDEX pp_block_rule_of_profile ON pp_block_rule (merchant, profile, created_at, id) WHERE profile IS NOT NULL;
CREATE INDEX pp_block_rule_expiring ON pp_block_rule (merchant, expires_at, id) WHERE expires_at IS NOT NULL;

-- An organization's entries: `{kind}@*:{value}`, and never a fingerprint.
CREATE TABLE pp_organization_rule (
    organization BLOB    NOT NULL REFERENCES pp_organization (incarnation),
    id           TEXT    NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 512),
    version      INTEGER NOT NULL CHECK (version >= 1),
    created_at   INTEGER NOT NULL,
    modified_at  INTEGER NOT NULL,
    kind         INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 4),
    profile      TEXT             CHECK (profile IS NULL),
    expires_at   INTEGER,
    action       INTEGER NOT NULL CHECK (action IN (0, 1)),
    reason       TEXT             CHECK (octet_length(reason) BETWEEN 1 AND 1020),
    source       TEXT             CHECK (octet_length(source) BETWEEN 1 AND 1020),
    author       TEXT    NOT NULL CHECK (octet_length(author) BETWEEN 1 AND 1024),
    metadata     TEXT             CHECK (octet_length(metadata) <= 65536 AND json_valid(metadata)),
    PRIMARY KEY (organization, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX pp_organization_rule_of_kind ON pp_organization_rule (organization, kind, created_at, id);
CREATE INDEX pp_organization_rule_expiring ON pp_organization_rule (organization, expires_at, id)
    WHERE expires_at IS NOT NULL;

-- How many entries a merchant account has, kept with every commit, so that no listing has to count. `version` is that of
-- the secret under which a fingerprint was made; 0 for foreign fingerprints and for other kinds.
CREATE TABLE pp_block_count (
    merchant BLOB    NOT NULL REFERENCES pp_merchant (incarnation),
    kind     INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 5),
    version  INTEGER NOT NULL CHECK (version >= 0),
    count    INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (merchant, kind, version)
) STRICT, WITHOUT ROWID;

-- `open_until` is null unless the payment waits for somebody to pay.
CREATE TABLE pp_payment (
    merchant    BLOB    NOT NULL,
    id          TEXT    NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 64),
    version     INTEGER NOT NULL CHECK (version >= 1),
    created_at  INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    profile     TEXT    NOT NULL,
    open_until  INTEGER,
    body        TEXT    NOT NULL CHECK (octet_length(body) <= 524288 AND json_valid(body)),
    PRIMARY KEY (merchant, id),
    FOREIGN KEY (merchant, profile) REFERENCES pp_profile (merchant, id)
) STRICT;
CREATE INDEX pp_payment_open ON pp_payment (merchant, open_until, id) WHERE open_until IS NOT NULL;
CREATE INDEX pp_payment_listed ON pp_payment (merchant, created_at, id);
CREATE INDEX pp_payment_of_profile ON pp_payment (merchant, profile);

-- A link is held up by the payment that it was created with, or, on its own, by its profile.
CREATE TABLE pp_payment_link (
    merchant    BLOB    NOT NULL,
    id          TEXT    NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 64),
    version     INTEGER NOT NULL CHECK (version >= 1),
    created_at  INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    profile     TEXT    NOT NULL,
    payment     TEXT,
    body        TEXT    NOT NULL CHECK (octet_length(body) <= 524288 AND json_valid(body)),
    holder      TEXT    AS (iif(payment IS NULL, profile, NULL)),
    PRIMARY KEY (merchant, id),
    FOREIGN KEY (merchant, payment) REFERENCES pp_payment (merchant, id),
    FOREIGN KEY (merchant, holder)  REFERENCES pp_profile (merchant, id)
) STRICT;
CREATE INDEX pp_payment_link_listed ON pp_payment_link (merchant, created_at, id);
CREATE INDEX pp_payment_link_of_profile ON pp_payment_link (merchant, profile, created_at, id);
CREATE INDEX pp_payment_link_of_payment ON pp_payment_link (merchant, payment) WHERE payment IS NOT NULL;
CREATE INDEX pp_payment_link_of_holder ON pp_payment_link (merchant, holder) WHERE holder IS NOT NULL;

-- A use counts until `stands_until`, that moment excluded, and for good where it is empty: it was confirmed.
CREATE TABLE pp_link_use (
    merchant     BLOB    NOT NULL,
    id           TEXT    NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 64),
    version      INTEGER NOT NULL CHECK (version >= 1),
    created_at   INTEGER NOT NULL,
    modified_at  INTEGER NOT NULL,
    link         TEXT    NOT NULL,
    stands_until INTEGER,
    body         TEXT    NOT NULL CHECK (octet_length(body) <= 524288 AND json_valid(body)),
    PRIMARY KEY (merchant, id),
    FOREIGN KEY (merchant, link) REFERENCES pp_payment_link (merchant, id)
) STRICT;
CREATE INDEX pp_link_use_listed ON pp_link_use (merchant, link, created_at, id);
CREATE INDEX pp_link_use_standing ON pp_link_use (merchant, link, stands_until);

CREATE TABLE pp_payment_decision (
    merchant    BLOB    NOT NULL,
    id          TEXT    NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 64),
    version     INTEGER NOT NULL CHECK (version >= 1),
    created_at  INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    payment     TEXT    NOT NULL,
    body        TEXT    NOT NULL CHECK (octet_length(body) <= 524288 AND json_valid(body)),
    PRIMARY KEY (merchant, id),
    FOREIGN KEY (merchant, payment) REFERENCES pp_payment (merchant, id)
) STRICT;
CREATE INDEX pp_payment_decision_listed ON pp_payment_decision (merchant, created_at, id);
CREATE INDEX pp_payment_decision_of_payment ON pp_payment_decision (merchant, payment);

-- `once` is what only one event of the account may have; `due_at` is null unless its delivery is pending.
CREATE TABLE pp_event (
    merchant    BLOB    NOT NULL,
    id          TEXT    NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 64),
    version     INTEGER NOT NULL CHECK (version >= 1),
    created_at  INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    payment     TEXT    NOT NULL,
    once        TEXT    NOT NULL CHECK (octet_length(once) BETWEEN 1 AND 64),
    due_at      INTEGER,
    body        TEXT    NOT NULL CHECK (octet_length(body) <= 524288 AND json_valid(body)),
    PRIMARY KEY (merchant, id),
    UNIQUE (merchant, once),
    FOREIGN KEY (merchant, payment) REFERENCES pp_payment (merchant, id)
) STRICT;
CREATE INDEX pp_event_listed ON pp_event (merchant, created_at, id);
CREATE INDEX pp_event_of_payment ON pp_event (merchant, payment);
CREATE INDEX pp_event_due ON pp_event (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX pp_event_due_of_merchant ON pp_event (merchant, due_at, id) WHERE due_at IS NOT NULL;

CREATE TABLE pp_idempotency (
    tenant     BLOB    NOT NULL CHECK (octet_length(tenant) = 16),
    key        TEXT    NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 255),
    request    BLOB    NOT NULL CHECK (octet_length(request) = 32),
    answer     TEXT    NOT NULL CHECK (octet_length(answer) <= 524288),
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT;
CREATE INDEX pp_idempotency_expiry ON pp_idempotency (expires_at);

-- One row a commit. No foreign key: the entries of removed tenants stay.
CREATE TABLE pp_log (
    position        INTEGER PRIMARY KEY AUTOINCREMENT,
    at              INTEGER NOT NULL,
    actor           TEXT    NOT NULL CHECK (octet_length(actor) BETWEEN 1 AND 1024),
    class           TEXT    NOT NULL CHECK (class IN ('configuration', 'operational')),
    organization    BLOB,
    merchant        BLOB,
    organization_id TEXT,
    merchant_id     TEXT,
    changes         TEXT    NOT NULL CHECK (json_valid(changes))
) STRICT;
CREATE INDEX pp_log_of_organization ON pp_log (organization) WHERE organization IS NOT NULL;
CREATE INDEX pp_log_of_merchant ON pp_log (merchant) WHERE merchant IS NOT NULL;
CREATE INDEX pp_log_configuration ON pp_log (position) WHERE class = 'configuration';

-- Which entries speak of an object. The id of an organization or a merchant account is empty here: its incarnation,
-- the tenant, says it all.
CREATE TABLE pp_log_entity (
    tenant   BLOB    NOT NULL,
    kind     TEXT    NOT NULL,
    id       TEXT    NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (tenant, kind, id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX pp_log_entity_of_position ON pp_log_entity (position);

-- The last step that removed entries of the log: at most one row. Every position up to `through` is gone, the newest
-- entry of the class `configuration` among them was `configuration`, or 0.
CREATE TABLE pp_log_pruning (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    through       INTEGER NOT NULL    CHECK (through >= 1),
    configuration INTEGER NOT NULL    CHECK (configuration BETWEEN 0 AND through),
    at            INTEGER NOT NULL,
    actor         TEXT    NOT NULL    CHECK (octet_length(actor) BETWEEN 1 AND 1024)
) STRICT;

-- Organizations that were copied from a store whose log had been pruned: their entries here begin after their creation.
-- They stay here when they are removed, as their entries do.
CREATE TABLE pp_log_cut (
    organization BLOB PRIMARY KEY CHECK (octet_length(organization) = 16)
) STRICT, WITHOUT ROWID;

-- For people. The library itself never reads a view, and its own connections have them switched off.

CREATE VIEW pp_organization_view AS SELECT
    id                                                                            AS organization_id,
    body ->> '$.organization_name'                                                AS organization_name,
    body -> '$.metadata'                                                          AS metadata,
    version,
    strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000.0, 'unixepoch')              AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', modified_at / 1000.0, 'unixepoch')             AS modified_at,
    lower(hex(incarnation))                                                       AS incarnation,
    body
FROM pp_organization;

CREATE VIEW pp_merchant_view AS SELECT
    pp_merchant.id                                                                AS merchant_id,
    pp_organization.id                                                            AS organization_id,
    publishable_key,
    former_key                                                                    AS former_publishable_key,
    pp_merchant.body ->> '$.data_key'                                             AS data_key,
    pp_merchant.version,
    strftime('%Y-%m-%dT%H:%M:%fZ', pp_merchant.created_at / 1000.0, 'unixepoch')  AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', pp_merchant.modified_at / 1000.0, 'unixepoch') AS modified_at,
    lower(hex(pp_merchant.incarnation))                                           AS incarnation,
    pp_merchant.body
FROM pp_merchant JOIN pp_organization ON pp_organization.incarnation = pp_merchant.organization;

CREATE VIEW pp_data_key_view AS SELECT
    pp_organization.id                                                            AS organization_id,
    pp_merchant.id                                                                AS merchant_id,
    row.id                                                                        AS data_key_id,
    row.wrapped_by,
    row.version,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.created_at / 1000.0, 'unixepoch')          AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.modified_at / 1000.0, 'unixepoch')         AS modified_at
FROM pp_data_key AS row
LEFT JOIN pp_organization ON pp_organization.incarnation = row.organization
LEFT JOIN pp_merchant ON pp_merchant.incarnation = row.merchant;

CREATE VIEW pp_profile_view AS SELECT
    pp_merchant.id                                                                AS merchant_id,
    row.id                                                                        AS profile_id,
    row.name                                                                      AS profile_name,
    row.is_default,
    row.version,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.created_at / 1000.0, 'unixepoch')          AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.modified_at / 1000.0, 'unixepoch')         AS modified_at,
    row.body
FROM pp_profile AS row JOIN pp_merchant ON pp_merchant.incarnation = row.merchant;

CREATE VIEW pp_connector_view AS SELECT
    pp_merchant.id                                                                AS merchant_id,
    row.profile                                                                   AS profile_id,
    row.id                                                                        AS merchant_connector_id,
    row.label                                                                     AS connector_label,
    row.version,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.created_at / 1000.0, 'unixepoch')          AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.modified_at / 1000.0, 'unixepoch')         AS modified_at,
    row.body
FROM pp_connector AS row JOIN pp_merchant ON pp_merchant.incarnation = row.merchant;

CREATE VIEW pp_routing_program_view AS SELECT
    pp_merchant.id                                                                AS merchant_id,
    row.profile                                                                   AS profile_id,
    row.id                                                                        AS routing_id,
    row.body ->> '$.name'                                                         AS name,
    row.active                                                                    AS active_version,
    row.version,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.created_at / 1000.0, 'unixepoch')          AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.modified_at / 1000.0, 'unixepoch')         AS modified_at,
    row.body
FROM pp_routing_program AS row JOIN pp_merchant ON pp_merchant.incarnation = row.merchant;

CREATE VIEW pp_routing_version_view AS SELECT
    pp_merchant.id                                                                AS merchant_id,
    row.program                                                                   AS routing_id,
    CAST(substr(row.id, -5) AS INTEGER)                                           AS number,
    row.version,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.created_at / 1000.0, 'unixepoch')          AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.modified_at / 1000.0, 'unixepoch')         AS modified_at,
    row.body
FROM pp_routing_version AS row JOIN pp_merchant ON pp_merchant.incarnation = row.merchant;

CREATE VIEW pp_api_key_view AS SELECT
    pp_merchant.id                                                                AS merchant_id,
    row.id                                                                        AS key_id,
    row.body ->> '$.name'                                                         AS name,
    row.body ->> '$.description'                                                  AS description,
    row.body ->> '$.prefix'                                                       AS prefix,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.expires_at / 1000.0, 'unixepoch')          AS expires_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.revoked_at / 1000.0, 'unixepoch')          AS revoked_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.used_at / 1000.0, 'unixepoch')             AS used_at,
    row.pepper,
    row.version,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.created_at / 1000.0, 'unixepoch')          AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.modified_at / 1000.0, 'unixepoch')         AS modified_at
FROM pp_api_key AS row JOIN pp_merchant ON pp_merchant.incarnation = row.merchant;

CREATE VIEW pp_block_rule_view AS SELECT
    pp_merchant.id                                                                AS merchant_id,
    row.id                                                                        AS rule,
    CASE row.kind WHEN 1 THEN 'card_bin' WHEN 2 THEN 'card_prefix' WHEN 3 THEN 'card_range'
                  WHEN 4 THEN 'extended_card_bin' WHEN 5 THEN 'fingerprint' END                AS kind,
    substr(row.id, instr(row.id, ':') + 1)                                        AS value,
    row.profile                                                                   AS profile_id,
    CASE row.action WHEN 0 THEN 'block' WHEN 1 THEN 'allow' END                   AS action,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.expires_at / 1000.0, 'unixepoch')          AS expires_at,
    row.reason,
    row.source,
    row.author,
    row.metadata,
    row.version,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.created_at / 1000.0, 'unixepoch')          AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.modified_at / 1000.0, 'unixepoch')         AS modified_at
FROM pp_block_rule AS row JOIN pp_merchant ON pp_merchant.incarnation = row.merchant;

CREATE VIEW pp_organization_rule_view AS SELECT
    pp_organization.id                                                            AS organization_id,
    row.id                                                                        AS rule,
    CASE row.kind WHEN 1 THEN 'card_bin' WHEN 2 THEN 'card_prefix' WHEN 3 THEN 'card_range'
                  WHEN 4 THEN 'extended_card_bin' WHEN 5 THEN 'fingerprint' END                AS kind,
    substr(row.id, instr(row.id, ':') + 1)                                        AS value,
    row.profile                                                                   AS profile_id,
    CASE row.action WHEN 0 THEN 'block' WHEN 1 THEN 'allow' END                   AS action,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.expires_at / 1000.0, 'unixepoch')          AS expires_at,
    row.reason,
    row.source,
    row.author,
    row.metadata,
    row.version,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.created_at / 1000.0, 'unixepoch')          AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.modified_at / 1000.0, 'unixepoch')         AS modified_at
FROM pp_organization_rule AS row JOIN pp_organization ON pp_organization.incarnation = row.organization;

CREATE VIEW pp_block_count_view AS SELECT
    pp_merchant.id                                                                AS merchant_id,
    CASE row.kind WHEN 1 THEN 'card_bin' WHEN 2 THEN 'card_prefix' WHEN 3 THEN 'card_range'
                  WHEN 4 THEN 'extended_card_bin' WHEN 5 THEN 'fingerprint' END                AS kind,
    nullif(row.version, 0)                                                        AS fingerprint_version,
    row.count
FROM pp_block_count AS row JOIN pp_merchant ON pp_merchant.incarnation = row.merchant;

CREATE VIEW pp_payment_view AS SELECT
    pp_merchant.id                                                                AS merchant_id,
    row.profile                                                                   AS profile_id,
    row.id                                                                        AS payment_id,
    row.version,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.created_at / 1000.0, 'unixepoch')          AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.modified_at / 1000.0, 'unixepoch')         AS modified_at,
    row.body
FROM pp_payment AS row JOIN pp_merchant ON pp_merchant.incarnation = row.merchant;

CREATE VIEW pp_payment_link_view AS SELECT
    pp_merchant.id                                                                AS merchant_id,
    row.profile                                                                   AS profile_id,
    row.payment                                                                   AS payment_id,
    row.id                                                                        AS payment_link_id,
    row.version,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.created_at / 1000.0, 'unixepoch')          AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.modified_at / 1000.0, 'unixepoch')         AS modified_at,
    row.body
FROM pp_payment_link AS row JOIN pp_merchant ON pp_merchant.incarnation = row.merchant;

CREATE VIEW pp_link_use_view AS SELECT
    pp_merchant.id                                                                AS merchant_id,
    row.link                                                                      AS payment_link_id,
    row.id                                                                        AS link_use_id,
    row.body ->> '$.payment_id'                                                   AS payment_id,
    row.version,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.created_at / 1000.0, 'unixepoch')          AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.modified_at / 1000.0, 'unixepoch')         AS modified_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.stands_until / 1000.0, 'unixepoch')        AS stands_until,
    row.body
FROM pp_link_use AS row JOIN pp_merchant ON pp_merchant.incarnation = row.merchant;

CREATE VIEW pp_payment_decision_view AS SELECT
    pp_merchant.id                                                                AS merchant_id,
    row.payment                                                                   AS payment_id,
    row.id                                                                        AS decision_id,
    row.version,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.created_at / 1000.0, 'unixepoch')          AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.modified_at / 1000.0, 'unixepoch')         AS modified_at,
    row.body
FROM pp_payment_decision AS row JOIN pp_merchant ON pp_merchant.incarnation = row.merchant;

CREATE VIEW pp_event_view AS SELECT
    pp_merchant.id                                                                AS merchant_id,
    row.payment                                                                   AS payment_id,
    row.id                                                                        AS event_id,
    row.body ->> '$.event_type'                                                   AS event_type,
    row.body ->> '$.delivery.state'                                               AS delivery,
    row.body ->> '$.delivery.attempts'                                            AS attempts,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.due_at / 1000.0, 'unixepoch')              AS due_at,
    row.version,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.created_at / 1000.0, 'unixepoch')          AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.modified_at / 1000.0, 'unixepoch')         AS modified_at
FROM pp_event AS row JOIN pp_merchant ON pp_merchant.incarnation = row.merchant;

CREATE VIEW pp_idempotency_view AS SELECT
    lower(hex(tenant))                                                            AS tenant,
    key,
    strftime('%Y-%m-%dT%H:%M:%fZ', expires_at / 1000.0, 'unixepoch')              AS expires_at
FROM pp_idempotency;

-- One row a change.
CREATE VIEW pp_log_view AS SELECT
    position,
    strftime('%Y-%m-%dT%H:%M:%fZ', at / 1000.0, 'unixepoch')                      AS at,
    actor,
    class,
    organization_id,
    merchant_id,
    change.value ->> '$.kind'                                                     AS kind,
    change.value ->> '$.id'                                                       AS id,
    change.value ->> '$.verb'                                                     AS verb,
    change.value ->> '$.version'                                                  AS version
FROM pp_log, json_each(pp_log.changes) AS change;

CREATE VIEW pp_log_pruning_view AS SELECT
    through,
    strftime('%Y-%m-%dT%H:%M:%fZ', at / 1000.0, 'unixepoch')                      AS at,
    actor
FROM pp_log_pruning;

CREATE VIEW pp_log_cut_view AS SELECT
    lower(hex(pp_log_cut.organization))                                           AS incarnation,
    pp_organization.id                                                            AS organization_id
FROM pp_log_cut LEFT JOIN pp_organization ON pp_organization.incarnation = pp_log_cut.organization;
