"""Fabrics between nodes: the wire format, and two fabrics that carry it, in memory and over Zenoh.

Read `messages.py` (what is said), `wire.py` (how it is laid out), then `memory.py` and `zenoh.py` (how it travels).
"""
