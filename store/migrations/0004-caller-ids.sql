-- Pools of caller IDs: settings, and what is known of their numbers.
CREATE TABLE caller_id_pool (id BLOB PRIMARY KEY, data TEXT NOT NULL, state TEXT) WITHOUT ROWID;

-- When a number of a pool was shown, milliseconds since 1970: what caps per hour and day are counted from.
CREATE TABLE caller_id_use (pool BLOB NOT NULL, at INTEGER NOT NULL, number TEXT NOT NULL);
CREATE INDEX caller_id_use_by_time ON caller_id_use (pool, at);
