"""One stream at its origin as a state machine: events in, commands out; no clock, thread or socket."""
