"""Heads: read a network's outputs as labels, boxes or a map of regions, on the origin.

`choosing.py` finds the head for a model, `answers.py` has what they say. No head runs a network, opens a file or draws:
see `sinks` for where answers go.
"""
