-- Whose a token and a call record are. Without: a token is the operator's, a record is seen by the operator alone.
ALTER TABLE token ADD COLUMN tenant TEXT;
ALTER TABLE call_record ADD COLUMN tenant TEXT;
CREATE INDEX call_record_tenant ON call_record (tenant, started_at) WHERE tenant IS NOT NULL;
-- What there was before belongs to whom everything belongs that nobody else was named for.
UPDATE call_record SET tenant = 'default' WHERE campaign IS NOT NULL OR agent IS NOT NULL;
