"""NEUKONFIG (2021): repartitioning without edge downtime. `seamline reproduce neukonfig-2021` runs it.

`cell.py` measures one strategy under one set of `conditions.py`, as a process of its own that `running.py` starts;
`switches.py` moves the cut in it, `limits.py` and `memory.py` hold and watch its processor and memory. `agenda.py` says
which cells make up which figure, `rapid.py` switches ten times a second, `sweep.py` does the figures without switches,
`starting.py` takes the time of a new pipeline apart. `published.py` holds the paper's values, `report.py` (with
`tables.py`, `curves.py`) puts both beside each other. arXiv 2106.15689.
"""
