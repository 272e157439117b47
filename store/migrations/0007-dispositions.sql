-- Whom a promised callback binds, and the fields an agent filled in (JSON; null: none).
ALTER TABLE disposition ADD COLUMN callback_by_agent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE disposition ADD COLUMN fields TEXT;
