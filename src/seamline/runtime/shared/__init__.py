"""Parts of the runtime that stand below nodes and origins: clock, energy, sources, and what nodes send and ask with."""
