"""How a link carries: estimator, change points, forecast, probing."""
