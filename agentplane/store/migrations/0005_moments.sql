-- works with schema 2 and newer
-- When an event was recorded; null when there is none. As log.sequence_at, the other way round: how far behind a read
-- model is, in time, is the same for all tenants, and says nothing of an event but when it came.
CREATE FUNCTION log.recorded_at(place bigint) RETURNS timestamptz LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog AS $$ SELECT recorded_at FROM log.events WHERE sequence = place $$;
REVOKE ALL ON FUNCTION log.recorded_at(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.recorded_at(bigint) TO agentplane_read, agentplane_project;
