"""The truth, in SQLite: documents, contents, chunks, vectors, changes and receipts. The only door to sqlite3."""
