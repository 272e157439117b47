-- Which way a call went, for the pages of one direction: those of the few inbound ones among many are found at once.
CREATE INDEX call_record_direction ON call_record (
    CASE json_extract(data, '$.kind') WHEN 'inbound' THEN 1 WHEN 'transit' THEN 2 ELSE 0 END, started_at
);
