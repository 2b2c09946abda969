"""Questions that people ask once: Pareto front, minimum cut, sweep, comparison. The control loop asks none."""
