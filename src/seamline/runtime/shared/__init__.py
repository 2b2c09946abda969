"""Parts of the runtime that nodes and origins both use: clock, sources, requests, outbox, energy."""
