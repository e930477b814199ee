-- works with schema 2 and newer
-- One summary for what belongs together and what caused what: two beside each other cost an append twice. Moments are
-- found by their sequence (log.sequence_at), so nobody asks for recorded_at. Built in one pass, during which appends wait.
CREATE INDEX events_relations ON log.events USING brin (correlation_id uuid_bloom_ops, causation_id uuid_bloom_ops)
    WITH (pages_per_range = 16, autosummarize = on);
DROP INDEX log.events_recorded_at, log.events_correlation, log.events_causation;
-- The trigger that takes the turn announces, too: one call less per append. What is announced is heard after the commit.
CREATE OR REPLACE FUNCTION log.take_turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(4702111234474983745), pg_notify('agentplane_log', '');
    RETURN NULL;
END $$;
DROP TRIGGER announce ON log.events;
DROP FUNCTION log.announce();
