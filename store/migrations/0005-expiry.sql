-- Leads that wait for another try, by when they expire: dial requests are told to have expired in time.
CREATE INDEX lead_waiting_expiry ON lead (list_no, expires_at) WHERE queue = 2 AND expires_at IS NOT NULL;
