"""One node as a state machine: what it is asked for by streams, its own and others', and what it then does."""
