"""Measurements in real processes: one plan after another, whole scenarios, accuracy."""
