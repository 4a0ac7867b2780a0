-- Format 3 of catalog.db. Times are Unix seconds (REAL) unless a name ends in _ns.

CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;

CREATE TABLE roots (
  id INTEGER PRIMARY KEY,
  collection TEXT NOT NULL,
  path BLOB NOT NULL UNIQUE,
  device INTEGER,
  inode INTEGER
);

-- What was read from a file's bytes. Documents with equal bytes share one content; a content that
-- no document refers to (refs = 0) rests until it is purged, so that coming back is free.
CREATE TABLE contents (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  hash BLOB NOT NULL,
  kind TEXT NOT NULL,
  reader TEXT NOT NULL,
  title TEXT NOT NULL,
  size_chars INTEGER NOT NULL,
  chunks INTEGER NOT NULL,
  missing INTEGER NOT NULL,  -- rows of content_chunks whose chunk has no vector in the serving generation; while refs > 0
  refs INTEGER NOT NULL DEFAULT 0,
  retired_at REAL,
  UNIQUE (hash, kind, reader)
);
CREATE INDEX contents_missing ON contents (id) WHERE missing > 0 AND refs > 0;
CREATE INDEX contents_resting ON contents (retired_at) WHERE refs = 0;

-- A document is a row of a folder: what the file system says of it, what it holds, and where it stands.
CREATE TABLE documents (
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice: a late answer must not meet another document
  root_id INTEGER NOT NULL REFERENCES roots (id),
  folder BLOB NOT NULL,
  name BLOB NOT NULL,
  kind TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  ctime_ns INTEGER NOT NULL,
  inode INTEGER NOT NULL,
  hash BLOB,
  content_id INTEGER REFERENCES contents (id),
  state TEXT NOT NULL CHECK (state IN ('pending', 'ready', 'failed')),
  version INTEGER NOT NULL DEFAULT 1,
  fresh INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '',
  hint TEXT NOT NULL DEFAULT '',
  UNIQUE (root_id, folder, name)
);
CREATE INDEX documents_pending ON documents (fresh DESC, id) WHERE state = 'pending';
CREATE INDEX documents_failed ON documents (id) WHERE state = 'failed';
CREATE INDEX documents_content ON documents (content_id);

CREATE TABLE chunks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key BLOB NOT NULL UNIQUE,
  context TEXT NOT NULL,
  text TEXT NOT NULL,
  refs INTEGER NOT NULL DEFAULT 0,  -- rows of content_chunks in contents that a document refers to
  retired_at REAL
);
CREATE INDEX chunks_resting ON chunks (retired_at) WHERE refs = 0;

CREATE TABLE content_chunks (
  content_id INTEGER NOT NULL REFERENCES contents (id),
  ordinal INTEGER NOT NULL,
  chunk_id INTEGER NOT NULL REFERENCES chunks (id),
  start INTEGER NOT NULL,
  "end" INTEGER NOT NULL,
  page INTEGER,
  PRIMARY KEY (content_id, ordinal)
) WITHOUT ROWID;
CREATE INDEX content_chunks_chunk ON content_chunks (chunk_id);

-- The words of live chunks only. Contentless: the text itself is in chunks.
CREATE VIRTUAL TABLE words USING fts5 (context, body, content = '', tokenize = 'porter unicode61 remove_diacritics 2');

CREATE TABLE generations (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  fingerprint TEXT NOT NULL UNIQUE,
  dimension INTEGER NOT NULL,
  model TEXT NOT NULL,
  max_tokens INTEGER NOT NULL,
  created_at REAL NOT NULL,
  serving INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL DEFAULT 'live',  -- live: gets every change (serving, filling or kept for a rollback); retired: drops away
  spec TEXT NOT NULL DEFAULT ''  -- the EncoderSpec (JSON) that encodes into it; empty: the configured one
);

CREATE TABLE vectors (
  generation INTEGER NOT NULL REFERENCES generations (id),
  chunk_id INTEGER NOT NULL,
  vector BLOB NOT NULL,  -- dimension x float16
  PRIMARY KEY (generation, chunk_id)
) WITHOUT ROWID;

-- Live chunks that lack a vector in a live generation: the embed work, smallest order first.
CREATE TABLE to_embed (
  generation INTEGER NOT NULL,
  chunk_id INTEGER NOT NULL,
  fresh INTEGER NOT NULL,
  weight INTEGER NOT NULL DEFAULT 0,  -- how often the chunk was found lately: what is searched most goes first
  PRIMARY KEY (generation, chunk_id)
) WITHOUT ROWID;
CREATE INDEX to_embed_order ON to_embed (generation, fresh DESC, weight DESC, chunk_id);

-- The change sequence: a chunk entered or left what the index must hold.
CREATE TABLE changes (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  generation INTEGER NOT NULL,
  chunk_id INTEGER NOT NULL
);

-- The way of each change, step by step.
CREATE TABLE receipts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  root_id INTEGER NOT NULL,
  path BLOB NOT NULL,
  document_id INTEGER,
  content_id INTEGER,
  action TEXT NOT NULL,
  outcome TEXT NOT NULL,  -- pending, searchable, deleted, failed, superseded
  seen_at REAL NOT NULL,
  stable_at REAL NOT NULL,
  planned_at REAL NOT NULL,
  extracted_at REAL,
  text_searchable_at REAL,
  searchable_at REAL,
  new_chars INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX receipts_document ON receipts (document_id) WHERE outcome = 'pending';
CREATE INDEX receipts_content ON receipts (content_id) WHERE outcome = 'pending';
CREATE INDEX receipts_path ON receipts (path);

-- How often a chunk was among the first hits; counted without the queries, halved now and then.
CREATE TABLE found (chunk_id INTEGER PRIMARY KEY, hits REAL NOT NULL) WITHOUT ROWID;

-- The registry: every model that ever came out of a run. The configured model is not a row: it is parent NULL.
CREATE TABLE models (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  role TEXT NOT NULL,
  name TEXT NOT NULL,  -- the trainer's
  version INTEGER NOT NULL,
  folder TEXT NOT NULL,  -- below models/
  files TEXT NOT NULL,  -- JSON: path in the folder -> SHA-256
  sha256 TEXT NOT NULL,  -- over all files, the artefact's identity
  space TEXT NOT NULL DEFAULT '',  -- fingerprint of the embedding space it makes (encoder) or works in (adapter)
  base TEXT NOT NULL DEFAULT '',  -- fingerprint of the configured model it descends from
  parent INTEGER REFERENCES models (id),
  run_id TEXT,
  status TEXT NOT NULL,  -- candidate, refused, champion, retired, pruned
  size_bytes INTEGER NOT NULL,
  facts TEXT NOT NULL DEFAULT '{}',
  scores TEXT NOT NULL DEFAULT '{}',
  report TEXT NOT NULL DEFAULT '',  -- the gate's page, Markdown
  created_at REAL NOT NULL,
  UNIQUE (name, version)
);

-- Who serves in each role; no row: what is configured. `stage` is serving, or filling while a map stands in.
CREATE TABLE champions (
  role TEXT PRIMARY KEY,
  model_id INTEGER REFERENCES models (id),
  previous_id INTEGER REFERENCES models (id),  -- what a rollback returns to; NULL with has_previous: what is configured
  has_previous INTEGER NOT NULL DEFAULT 0,
  stage TEXT NOT NULL DEFAULT 'serving',
  since REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE promotions (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at REAL NOT NULL,
  role TEXT NOT NULL,
  action TEXT NOT NULL,  -- promote, swap, rollback
  model_id INTEGER,
  previous_id INTEGER,
  forced INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE runs (
  id TEXT PRIMARY KEY,
  trainer TEXT NOT NULL,
  role TEXT NOT NULL,
  state TEXT NOT NULL,  -- domain.learning.RunState
  cause TEXT NOT NULL,  -- trigger, or by hand
  reasons TEXT NOT NULL DEFAULT '[]',  -- JSON of the decision's reasons
  seed INTEGER NOT NULL,
  settings TEXT NOT NULL DEFAULT '{}',
  examples INTEGER NOT NULL DEFAULT 0,
  data_sha256 TEXT NOT NULL DEFAULT '',
  data_report TEXT NOT NULL DEFAULT '{}',
  changes INTEGER NOT NULL DEFAULT 0,  -- the change sequence that its data stands for
  requested_at REAL NOT NULL,
  wait_until REAL,
  started_at REAL,
  ended_at REAL,
  attempts INTEGER NOT NULL DEFAULT 0,
  worker TEXT NOT NULL DEFAULT '',
  done INTEGER NOT NULL DEFAULT 0,
  total INTEGER NOT NULL DEFAULT 0,
  metrics TEXT NOT NULL DEFAULT '{}',
  reserved_cpu_s REAL NOT NULL DEFAULT 0,
  reserved_gpu_s REAL NOT NULL DEFAULT 0,
  cpu_s REAL NOT NULL DEFAULT 0,
  gpu_s REAL NOT NULL DEFAULT 0,
  peak_memory_mb REAL NOT NULL DEFAULT 0,
  verdict TEXT NOT NULL DEFAULT '',  -- passed, refused, or empty while nothing was measured
  model_id INTEGER REFERENCES models (id),
  reason TEXT NOT NULL DEFAULT '',
  hint TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX runs_requested ON runs (requested_at);
CREATE INDEX runs_open ON runs (state) WHERE state IN ('waiting', 'queued', 'running', 'evaluating');

-- What work cost: training, evaluation, backfills, observation.
CREATE TABLE spend (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at REAL NOT NULL,
  what TEXT NOT NULL,  -- prepare, train, evaluate, backfill, observe
  run_id TEXT,
  generation INTEGER,
  cpu_s REAL NOT NULL,
  gpu_s REAL NOT NULL DEFAULT 0
);
CREATE INDEX spend_at ON spend (at);

-- Each time a trigger was asked and its answer changed, or a run began.
CREATE TABLE decisions (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at REAL NOT NULL,
  trainer TEXT NOT NULL,
  fires INTEGER NOT NULL,
  reasons TEXT NOT NULL,
  observed TEXT NOT NULL,  -- JSON of domain.learning.Observed: what `triggers simulate` replays
  wait_until REAL,
  run_id TEXT
);
CREATE INDEX decisions_trainer ON decisions (trainer, at);

CREATE TABLE windows (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at REAL NOT NULL,
  kind TEXT NOT NULL,
  size INTEGER NOT NULL,
  novelty REAL NOT NULL,
  histogram REAL NOT NULL,
  mmd_p REAL,
  is_drift INTEGER NOT NULL,
  cost_s REAL NOT NULL
);

-- The query journal: only where it was asked for.
CREATE TABLE queries (
  id INTEGER PRIMARY KEY,
  at REAL NOT NULL,
  text TEXT NOT NULL,
  mode TEXT NOT NULL,
  took_ms REAL NOT NULL,
  hits TEXT NOT NULL,  -- JSON: [[chunk id, document id], ...], best first
  vector BLOB,  -- dimension x float16, by the encoder alone, without an adapter
  generation INTEGER  -- whose space the vector is in
);
CREATE INDEX queries_at ON queries (at);

CREATE TABLE feedback (
  query_id INTEGER NOT NULL REFERENCES queries (id),
  chunk_id INTEGER NOT NULL,
  is_good INTEGER NOT NULL,
  at REAL NOT NULL,
  PRIMARY KEY (query_id, chunk_id)
) WITHOUT ROWID;
