"""How a link carries: estimator, change points, forecast, probing; the link meter and the beat of a node."""
