"""A run of `seamline run`, from its request to its figures: one stream or several, and what becomes of answers."""
