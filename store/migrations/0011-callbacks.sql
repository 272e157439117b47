-- When a promised callback is due, whether that was told, and who is to make it (names as text): `past` says it all, these
-- columns are for finding it.
ALTER TABLE lead ADD COLUMN callback_at INTEGER;
ALTER TABLE lead ADD COLUMN callback_told INTEGER;
ALTER TABLE lead ADD COLUMN callback_agent TEXT;
ALTER TABLE lead ADD COLUMN callback_campaign TEXT;
UPDATE lead SET callback_at = json_extract(past, '$.callback.at'), callback_told = 0,
    callback_agent = json_extract(past, '$.callback.agent')
    WHERE past IS NOT NULL AND json_extract(past, '$.callback.at') IS NOT NULL;

CREATE INDEX lead_callback_at ON lead (callback_at, no) WHERE callback_at IS NOT NULL;
CREATE INDEX lead_callback_told ON lead (callback_told, callback_at) WHERE callback_at IS NOT NULL;
CREATE INDEX lead_callback_agent ON lead (callback_agent, callback_at, no) WHERE callback_at IS NOT NULL;
CREATE INDEX lead_callback_campaign ON lead (callback_campaign, callback_at, no) WHERE callback_at IS NOT NULL;
