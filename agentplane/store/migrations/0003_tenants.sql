-- works with schema 2 and newer
-- Readers see the events of the tenant that their transaction names, whatever their statement forgets. The roles of
-- control and the projector serve every tenant, and bypass it (agentplane.store.roles).
ALTER TABLE log.events ENABLE ROW LEVEL SECURITY;
CREATE POLICY readers ON log.events FOR SELECT TO agentplane_read
    USING (tenant = current_setting('agentplane.tenant', true));

-- Where the log ends, and where it stood at a moment, are the same for all tenants: a position is nobody's secret that
-- everybody is told with each of their own events.
CREATE FUNCTION log.head() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog AS $$ SELECT coalesce(max(sequence), 0) FROM log.events $$;

-- The last sequence recorded at (inclusive) or before a moment; 0 when there is none. Sequence is gap-free and time
-- never decreases along it, so a search in halves needs one row per step.
CREATE FUNCTION log.sequence_at(moment timestamptz, inclusive boolean) RETURNS bigint LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog AS $$
    WITH RECURSIVE search (low, high) AS (
        SELECT 0::bigint, (SELECT coalesce(max(sequence), 0) FROM log.events)
        UNION ALL
        SELECT CASE WHEN past THEN middle ELSE low END, CASE WHEN past THEN high ELSE middle - 1 END
        FROM (SELECT low, high, (low + high + 1) / 2 AS middle FROM search WHERE low < high) step,
        LATERAL (
            SELECT recorded_at < moment OR (inclusive AND recorded_at = moment) AS past
            FROM log.events WHERE sequence = middle
        ) seen
    )
    SELECT max(low) FROM search
$$;
REVOKE ALL ON FUNCTION log.head(), log.sequence_at(timestamptz, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.head(), log.sequence_at(timestamptz, boolean) TO agentplane_read, agentplane_project;
