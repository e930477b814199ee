-- Whoever inserts takes the append lock, whether it asked log.enter() first or not. So an appender that already knows
-- the log's end may write at once: if it was wrong, it waits here for its turn and then fails on the sequence's key.
CREATE FUNCTION log.take_turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(4702111234474983745);
    RETURN NULL;
END $$;
CREATE TRIGGER take_turn BEFORE INSERT ON log.events
    FOR EACH STATEMENT EXECUTE FUNCTION log.take_turn();
ALTER TABLE log.events ENABLE ALWAYS TRIGGER take_turn;
REVOKE ALL ON FUNCTION log.take_turn() FROM PUBLIC;
