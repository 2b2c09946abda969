"""What a plan costs: seconds, joules and frames per second, one formula each; feasibility; uncertainty."""
