-- Format 1 of catalog.db. Times are Unix seconds (REAL) unless a name ends in _ns.

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
  missing INTEGER NOT NULL,  -- rows of content_chunks whose chunk has no vector in the serving generation
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
  serving INTEGER NOT NULL DEFAULT 0
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
  PRIMARY KEY (generation, chunk_id)
) WITHOUT ROWID;
CREATE INDEX to_embed_order ON to_embed (generation, fresh DESC, chunk_id);

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
