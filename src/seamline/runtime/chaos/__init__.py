"""Chaos: faults by seed against real processes, and an oracle for what becomes of the frames."""
