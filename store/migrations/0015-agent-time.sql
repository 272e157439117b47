-- For whom an entry's token acted; without: for the operator.
ALTER TABLE audit ADD COLUMN tenant TEXT;
CREATE INDEX audit_tenant ON audit (tenant, no) WHERE tenant IS NOT NULL;
-- How long agents were in each state, by hours since 1970, and in which state they are since when.
CREATE TABLE agent_time (
    agent BLOB NOT NULL,
    hour INTEGER NOT NULL,
    state TEXT NOT NULL,
    ms INTEGER NOT NULL,
    PRIMARY KEY (agent, hour, state)
) WITHOUT ROWID;
CREATE INDEX agent_time_hour ON agent_time (hour);
CREATE TABLE agent_since (agent BLOB PRIMARY KEY, state TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
