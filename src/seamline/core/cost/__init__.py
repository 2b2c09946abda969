"""Costs of plans: seconds, joules and frames per second, one formula each; feasibility; uncertainty."""
