-- Calendars: calling windows and holidays that campaigns share.
CREATE TABLE calendar (id BLOB PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
