-- How often leads of a segment were tried in an hour of the week, and answered; by the part of an experiment.
CREATE TABLE best_time (
    campaign BLOB NOT NULL,
    segment TEXT NOT NULL,
    hour INTEGER NOT NULL,
    arm INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    answers INTEGER NOT NULL,
    PRIMARY KEY (campaign, segment, hour, arm)
) WITHOUT ROWID;
