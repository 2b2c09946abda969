"""Segments that run elsewhere: on servers of the Open Inference Protocol, which they are exported for, and on Ray."""
