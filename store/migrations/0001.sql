-- Ids are 16 bytes, big-endian (so that they sort by time of creation). Times are milliseconds since 1970.
-- `data` is the row as JSON; the columns beside it are those that are searched.

CREATE TABLE trunk (id BLOB PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE agent (id BLOB PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE agent_status (id BLOB PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE contact (id BLOB PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE campaign (id BLOB PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pacer_sketch (campaign BLOB PRIMARY KEY, sketch BLOB NOT NULL) WITHOUT ROWID;

-- `no` stands for the list in the large tables. It is never used again, so that what is left of a deleted list
-- can be cleared away later.
CREATE TABLE list (no INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, data TEXT NOT NULL);
CREATE TABLE list_purge (no INTEGER PRIMARY KEY);

-- `no` is the order of import. `queue`: 0 not to be dialled, 1 may be dialled at once, 2 waits for `next_at`.
CREATE TABLE lead (
    no INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    list_no INTEGER NOT NULL,
    external_id TEXT,
    priority INTEGER NOT NULL,
    time_zone TEXT,
    expires_at INTEGER,
    phones TEXT NOT NULL,
    fields TEXT,
    state INTEGER NOT NULL,
    queue INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    outcomes TEXT,
    last_outcome TEXT,
    last_attempt_at INTEGER,
    next_at INTEGER,
    next_phone INTEGER NOT NULL,
    agent_guaranteed_until INTEGER
);
CREATE UNIQUE INDEX lead_id ON lead (id);
CREATE UNIQUE INDEX lead_external ON lead (list_no, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX lead_state ON lead (list_no, state);
CREATE INDEX lead_ready ON lead (list_no, priority DESC, no, expires_at) WHERE queue = 1;
CREATE INDEX lead_ready_tried ON lead (list_no, attempts, expires_at) WHERE queue = 1 AND attempts > 0;
CREATE INDEX lead_ready_expiry ON lead (list_no, expires_at) WHERE queue = 1 AND expires_at IS NOT NULL;
CREATE INDEX lead_waiting ON lead (list_no, priority DESC, next_at, no, expires_at) WHERE queue = 2;
CREATE INDEX lead_waiting_until ON lead (list_no, next_at, priority, attempts, expires_at) WHERE queue = 2;

-- Who has a number. E.164 numbers are kept as integers, anything else as text.
CREATE TABLE lead_number (
    number NOT NULL,
    list_no INTEGER NOT NULL,
    lead_no INTEGER NOT NULL,
    PRIMARY KEY (number, list_no, lead_no)
) WITHOUT ROWID;

-- How many leads are where, kept with every change: counting ten million rows takes seconds.
CREATE TABLE lead_count (
    list_no INTEGER NOT NULL,
    state INTEGER NOT NULL,
    queue INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (list_no, state, queue)
) WITHOUT ROWID;

-- Attempts under way; the end of the call takes them out.
CREATE TABLE attempt_open (
    call BLOB PRIMARY KEY,
    campaign BLOB,
    data TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE call_record (
    no INTEGER PRIMARY KEY,
    call BLOB NOT NULL UNIQUE,
    campaign BLOB,
    agent BLOB,
    lead BLOB,
    number TEXT NOT NULL,
    outcome TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX call_record_started ON call_record (started_at);
CREATE INDEX call_record_campaign ON call_record (campaign, started_at) WHERE campaign IS NOT NULL;
CREATE INDEX call_record_agent ON call_record (agent, started_at) WHERE agent IS NOT NULL;
CREATE INDEX call_record_lead ON call_record (lead, started_at) WHERE lead IS NOT NULL;
CREATE INDEX call_record_number ON call_record (number, started_at);

CREATE TABLE campaign_total (
    campaign BLOB NOT NULL,
    outcome TEXT NOT NULL,
    ended INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    bridged INTEGER NOT NULL,
    abandoned INTEGER NOT NULL,
    talk_ms INTEGER NOT NULL,
    PRIMARY KEY (campaign, outcome)
) WITHOUT ROWID;

CREATE TABLE disposition (
    call BLOB PRIMARY KEY,
    code TEXT NOT NULL,
    notes TEXT,
    callback_at INTEGER,
    at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE wrap_up (call BLOB PRIMARY KEY, wrap_up_ms INTEGER NOT NULL) WITHOUT ROWID;

-- Evidence: only ever added to.
CREATE TABLE ledger (
    no INTEGER PRIMARY KEY,
    campaign BLOB NOT NULL,
    call BLOB NOT NULL,
    at INTEGER NOT NULL,
    abandoned INTEGER NOT NULL
);
CREATE INDEX ledger_at ON ledger (at);
CREATE TRIGGER ledger_not_changed BEFORE UPDATE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_not_deleted BEFORE DELETE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TABLE recording (
    no INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    call BLOB NOT NULL,
    campaign BLOB,
    agent BLOB,
    at INTEGER NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX recording_at ON recording (at);
CREATE INDEX recording_call ON recording (call, at);
CREATE INDEX recording_campaign ON recording (campaign, at) WHERE campaign IS NOT NULL;
CREATE INDEX recording_agent ON recording (agent, at) WHERE agent IS NOT NULL;

CREATE TABLE event (cursor INTEGER PRIMARY KEY, at INTEGER NOT NULL, data TEXT NOT NULL);

CREATE TABLE token (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    prefix TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) WITHOUT ROWID;

CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    status INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    body BLOB NOT NULL,
    at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency (at);

-- Journal records that could not be applied. Empty unless the program has a defect.
CREATE TABLE rejected (no INTEGER PRIMARY KEY, seq INTEGER NOT NULL, error TEXT NOT NULL, data TEXT NOT NULL);
