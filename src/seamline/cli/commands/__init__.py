"""One file a command: parse, call, draw."""
