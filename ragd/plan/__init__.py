"""From paths to chunks: what changed, what a file holds, and how its text is cut."""
