"""How fast a node computes, compared with its profile; when to measure it again."""
