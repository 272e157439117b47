-- Who is told of events over HTTP. Every event up to `position` was delivered, was not wanted, or is in
-- `webhook_delivery`.
CREATE TABLE webhook (id BLOB PRIMARY KEY, position INTEGER NOT NULL, data TEXT NOT NULL) WITHOUT ROWID;

-- Events that could not be delivered at the first try: `dead` 0 is tried again at `next_at`, 1 is given up.
CREATE TABLE webhook_delivery (
    webhook BLOB NOT NULL,
    event_cursor INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (webhook, event_cursor)
) WITHOUT ROWID;
CREATE INDEX webhook_delivery_dead ON webhook_delivery (webhook, dead, event_cursor);
