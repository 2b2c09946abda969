"""Events of a session as values: written as JSON lines, read back, and decided again."""
