-- Routes of inbound calls.
CREATE TABLE inbound_route (id BLOB PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
