"""FAISS changed in place: exact and inverted-file indexes, generations, snapshots, and the proof that they are true."""
