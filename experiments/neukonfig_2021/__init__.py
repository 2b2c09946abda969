"""NEUKONFIG (2021): repartitioning without edge downtime. `seamline reproduce neukonfig-2021` runs it.

`cell.py` measures one strategy under one set of conditions, as a process of its own; `conditions.py` says what a cell
is, `plan.py` which cells make up which figure, `sweep.py` does the figures without switches, `published.py` holds the
paper's values, `report.py` puts both beside each other. arXiv 2106.15689.
"""
