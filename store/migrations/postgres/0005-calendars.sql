-- As SQLite's step of this name.
CREATE TABLE calendar (id bytea PRIMARY KEY, data text NOT NULL);
