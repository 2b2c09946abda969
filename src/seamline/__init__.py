"""Runs one neural network across several machines and moves the cut while frames flow."""

__version__ = "0.1.0"
