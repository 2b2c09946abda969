"""Adaptive partitioning over edge, fog and cloud (2026): energy and latency against static baselines.

`seamline reproduce adaptive-2026` runs it. `published.py` holds the paper's values and the hardware's constants,
`devices.py` makes profiles of the three machines from them, `scenario.py` says what changes and when, `simulated.py`
plays it in virtual time with the product's own policy, `emulated.py` in processes on the testbed of `bed.py`, and
`report.py` writes HTML and JSON. Only the abstract of arXiv 2605.09623 is to be had: the scenario is ours, and stated.
"""
