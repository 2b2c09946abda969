"""Link measurement: estimator, change points, forecasts, probing, the link meter and the heartbeat of a node."""
