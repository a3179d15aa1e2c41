-- A database of schema 1 with one key and four rows, as that version wrote it.
BEGIN TRANSACTION;
CREATE TABLE api_key (
	public_id TEXT NOT NULL, 
	tenant TEXT NOT NULL, 
	name TEXT NOT NULL, 
	digest BLOB NOT NULL CHECK (length(digest) = 32), 
	created_at_s FLOAT NOT NULL, 
	revoked_at_s FLOAT, 
	revision INTEGER NOT NULL, 
	PRIMARY KEY (public_id)
);
INSERT INTO "api_key" VALUES('aaaaaaaaaaaa','acme','laptop',X'0000000000000000000000000000000000000000000000000000000000000000',1.0,NULL,1);
CREATE TABLE ledger (
	request_id TEXT NOT NULL, 
	at_s FLOAT NOT NULL, 
	tenant TEXT NOT NULL, 
	key_id TEXT NOT NULL, 
	operation TEXT NOT NULL, 
	requested_model TEXT NOT NULL, 
	task TEXT, 
	complexity TEXT NOT NULL, 
	status INTEGER NOT NULL, 
	target_kind TEXT, 
	target TEXT, 
	model_key TEXT, 
	model_id TEXT, 
	replica_id TEXT, 
	input_tokens INTEGER NOT NULL, 
	cached_input_tokens INTEGER NOT NULL, 
	output_tokens INTEGER NOT NULL, 
	usage_estimated BOOLEAN NOT NULL, 
	cost_nanousd BIGINT NOT NULL, 
	spilled BOOLEAN NOT NULL, 
	reason TEXT NOT NULL, 
	chain TEXT NOT NULL, 
	attempts TEXT NOT NULL, 
	predicted_ttft_s FLOAT, 
	ttft_s FLOAT, 
	e2e_s FLOAT NOT NULL, 
	error TEXT, 
	simulated BOOLEAN NOT NULL, 
	stream BOOLEAN NOT NULL, 
	PRIMARY KEY (request_id)
);
INSERT INTO "ledger" VALUES('r-1',1789905600.0,'acme','aaaaaaaaaaaa','chat','auto',NULL,'simple',200,'external','openai','gpt-4o-mini',NULL,NULL,1,0,1,0,5,0,'rule','[]','[]',NULL,NULL,0.5,NULL,0,0);
INSERT INTO "ledger" VALUES('r-2',1789992000.0,'acme','aaaaaaaaaaaa','chat','auto',NULL,'simple',200,'external','openai','gpt-4o-mini',NULL,NULL,1,0,1,0,4,0,'rule','[]','[]',NULL,NULL,0.5,NULL,0,0);
INSERT INTO "ledger" VALUES('r-3',1789992001.0,'acme','aaaaaaaaaaaa','chat','auto',NULL,'simple',200,'external','openai','gpt-4o-mini',NULL,NULL,1,0,1,0,6,0,'rule','[]','[]',NULL,NULL,0.5,NULL,0,0);
INSERT INTO "ledger" VALUES('r-4',1789992002.0,'acme','aaaaaaaaaaaa','chat','auto',NULL,'simple',200,'own','openai','gpt-4o-mini',NULL,NULL,1,0,1,0,100,0,'rule','[]','[]',NULL,NULL,0.5,NULL,0,0);
CREATE INDEX api_key_revision ON api_key (revision);
CREATE INDEX ledger_at_s ON ledger (at_s);
COMMIT;
PRAGMA user_version=1;
