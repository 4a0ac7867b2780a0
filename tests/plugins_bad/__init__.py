"""Ten plugins that misbehave, each in its own way; nothing here runs but in a child with limits."""
