-- works with schema 2 and newer
-- What an event caused: histories of elsewhere name causes across correlations, or without any. As for correlations
-- (0004), a Bloom filter per 16 pages; an effect stands close to its cause, or came with it.
CREATE INDEX events_causation ON log.events USING brin (causation_id uuid_bloom_ops)
    WITH (pages_per_range = 16, autosummarize = on);
