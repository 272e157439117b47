-- A lead's last attempts with what agents said and noted, and a promised callback, as JSON; null: neither.
ALTER TABLE lead ADD COLUMN past TEXT;
