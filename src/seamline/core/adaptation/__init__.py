"""Adaptation, deciding when to switch: events, view, policy, baselines, correlated links, reasons, pipeline depth."""
