-- Times of a lead's last attempts, as JSON, for limits per day, week and month.
ALTER TABLE lead ADD COLUMN recent TEXT;

-- Do-not-call lists. `no` stands for the list in the large table and is never used again.
CREATE TABLE dnc_list (no INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, data TEXT NOT NULL);

-- E.164 numbers without the plus as integers, prefixes as text. `expires_at` in milliseconds since 1970; null: never.
CREATE TABLE dnc_entry (
    list_no INTEGER NOT NULL,
    number NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (list_no, number)
) WITHOUT ROWID;
