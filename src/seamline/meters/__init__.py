"""Meters of this machine: device facts, block profiles of models, the files of these, and energy."""
