-- Recordings whose files are not complete: after a crash the next run mends what there is of them and lists it.
CREATE TABLE recording_open (id BLOB PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
