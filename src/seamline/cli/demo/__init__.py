"""The demo: what its story is, what of it is judged, and how it looks; `commands/demo.py` reads the flags."""
