-- Where new entries of a blocklist wait, unseen, until one commit makes them all entries. `tenant` is the organization or the
-- merchant account whose list they are for. `open` is 0 once they were made live, or begun to be removed.
CREATE TABLE pp_stage (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (octet_length(id) = 16),
    tenant     BLOB    NOT NULL             CHECK (octet_length(tenant) = 16),
    touched_at INTEGER NOT NULL,
    open       INTEGER NOT NULL             CHECK (open IN (0, 1)),
    parts      INTEGER NOT NULL             CHECK (parts >= 1)
) STRICT, WITHOUT ROWID;
CREATE INDEX pp_stage_of_tenant ON pp_stage (tenant);

-- Their rows, part by part, and within a part in the order of their names: what is written is always at the end, and the
-- parts are merged when they are made live. `number` says in which order the rows were given.
CREATE TABLE pp_staged_rule (
    stage      BLOB    NOT NULL REFERENCES pp_stage (id),
    part       INTEGER NOT NULL,
    place      INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    id         TEXT    NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 512),
    kind       INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 5),
    version    INTEGER NOT NULL CHECK (version >= 0),
    profile    TEXT,
    expires_at INTEGER,
    action     INTEGER NOT NULL CHECK (action IN (0, 1)),
    reason     TEXT             CHECK (octet_length(reason) BETWEEN 1 AND 1020),
    metadata   TEXT             CHECK (octet_length(metadata) <= 65536 AND json_valid(metadata)),
    PRIMARY KEY (stage, part, place)
) STRICT, WITHOUT ROWID;

CREATE VIEW pp_stage_view AS SELECT
    lower(hex(row.id))                                                            AS stage,
    pp_organization.id                                                            AS organization_id,
    pp_merchant.id                                                                AS merchant_id,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.touched_at / 1000.0, 'unixepoch')          AS touched_at,
    row.open,
    row.parts
FROM pp_stage AS row
LEFT JOIN pp_merchant ON pp_merchant.incarnation = row.tenant
LEFT JOIN pp_organization ON pp_organization.incarnation IN (row.tenant, pp_merchant.organization);

CREATE VIEW pp_staged_rule_view AS SELECT
    lower(hex(row.stage))                                                         AS stage,
    row.part,
    row.place,
    row.number,
    row.id                                                                        AS rule,
    row.profile                                                                   AS profile_id,
    CASE row.action WHEN 0 THEN 'block' WHEN 1 THEN 'allow' END                   AS action,
    strftime('%Y-%m-%dT%H:%M:%fZ', row.expires_at / 1000.0, 'unixepoch')          AS expires_at,
    row.reason,
    row.metadata
FROM pp_staged_rule AS row;
