"""Documents about runs, sweeps, simulations, plans and replays, made of what commands have written."""
