"""Configuration: one typed schema, filled from defaults, a file, variables and flags, each value with its origin."""
