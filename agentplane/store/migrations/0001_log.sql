-- The log: append-only, ordered by a gap-free sequence whose order is the order of commits.
CREATE SCHEMA log;
CREATE SCHEMA views AUTHORIZATION agentplane_project;

CREATE TABLE log.events (
    sequence       bigint      PRIMARY KEY CHECK (sequence > 0),
    id             uuid        NOT NULL UNIQUE,
    tenant         text        COLLATE "C" NOT NULL,
    kind           text        COLLATE "C" NOT NULL,
    namespace      text        COLLATE "C" NOT NULL,
    name           text        COLLATE "C" NOT NULL,
    stream_version bigint      NOT NULL CHECK (stream_version > 0),
    phase          text        COLLATE "C" NOT NULL CHECK (phase IN ('intent', 'internal', 'fact')),
    type           text        COLLATE "C" NOT NULL,
    type_version   integer     NOT NULL CHECK (type_version > 0),
    actor          text        COLLATE "C" NOT NULL,
    time           timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL,
    correlation_id uuid        NOT NULL,
    causation_id   uuid,
    data           bytea       NOT NULL CHECK (octet_length(data) <= 524288),
    digest         bytea       NOT NULL CHECK (octet_length(digest) = 32),
    UNIQUE (tenant, kind, namespace, name, stream_version)
);

COMMENT ON TABLE log.events IS 'What happened. INSERT and SELECT only; sequence is gap-free, its order the order of commits.';
COMMENT ON COLUMN log.events.data IS 'Canonical JSON (RFC 8785), UTF-8.';
COMMENT ON COLUMN log.events.digest IS 'SHA-256 of the event''s body: all it says except time.';
COMMENT ON COLUMN log.events.recorded_at IS 'Never decreases along sequence, so time travel is a search by time.';

-- sequence grows with time, so block ranges find a moment in a few pages and cost an append nothing
CREATE INDEX events_recorded_at ON log.events USING brin (recorded_at) WITH (pages_per_range = 16);

-- Whoever asks, the table's owner and superusers included, what is stored stays.
CREATE FUNCTION log.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'log.events is append-only: % refused', TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'Append an event that says what changed.';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log.events
    FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
-- ALWAYS: also with session_replication_role = replica
ALTER TABLE log.events ENABLE ALWAYS TRIGGER append_only;

-- Wakes listeners when the transaction commits. A hint: they poll as well.
CREATE FUNCTION log.announce() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('agentplane_log', '');
    RETURN NULL;
END $$;
CREATE TRIGGER announce AFTER INSERT ON log.events
    FOR EACH STATEMENT EXECUTE FUNCTION log.announce();

-- One appender at a time, from here to its commit; answers where the log ends. Each statement of a volatile function
-- sees what was committed before it began, so the end is read after the lock is held.
CREATE FUNCTION log.enter(OUT sequence bigint, OUT recorded_at timestamptz) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(4702111234474983745);
    SELECT e.sequence, e.recorded_at INTO sequence, recorded_at FROM log.events e ORDER BY e.sequence DESC LIMIT 1;
    sequence := coalesce(sequence, 0);
END $$;

-- How far each reader that hands the log on has come. The log itself is the outbox (docs/adr/0002).
CREATE TABLE log.outbox_cursor (
    name            text        PRIMARY KEY,
    position        bigint      NOT NULL CHECK (position >= 0),
    stream_identity text,
    updated_at      timestamptz NOT NULL DEFAULT now()
);

REVOKE ALL ON FUNCTION log.enter(), log.announce(), log.refuse_change() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.enter() TO agentplane_append;
GRANT USAGE ON SCHEMA log TO agentplane_append, agentplane_project, agentplane_read;
GRANT USAGE ON SCHEMA views TO agentplane_read, agentplane_append;
GRANT SELECT, INSERT ON log.events TO agentplane_append;
GRANT SELECT, INSERT, UPDATE ON log.outbox_cursor TO agentplane_append;
GRANT SELECT ON log.events, log.outbox_cursor TO agentplane_project, agentplane_read;
ALTER DEFAULT PRIVILEGES FOR ROLE agentplane_project IN SCHEMA views GRANT SELECT ON TABLES TO agentplane_read;
