"""Compute speed of a node, compared with its profile: estimator, and re-profiling."""
