"""What a plugin may do: the hooks, what plugin authors import, and how plugins are loaded."""
