"""The weight store: one copy of each model on a node, moved between nodes by content."""
