"""Runnable segments of a node: made in several ways, kept ready by generation, compiled ahead in the background."""
