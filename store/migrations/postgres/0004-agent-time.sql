-- For whom an entry's token acted; without: for the operator.
ALTER TABLE audit ADD COLUMN tenant text COLLATE "C";
CREATE INDEX audit_tenant ON audit (tenant, no) WHERE tenant IS NOT NULL;
-- As SQLite's step of this name.
CREATE TABLE agent_time (
    agent bytea NOT NULL,
    hour bigint NOT NULL,
    state text COLLATE "C" NOT NULL,
    ms bigint NOT NULL,
    PRIMARY KEY (agent, hour, state)
);
CREATE INDEX agent_time_hour ON agent_time (hour);
CREATE TABLE agent_since (agent bytea PRIMARY KEY, state text COLLATE "C" NOT NULL, at bigint NOT NULL);
