"""A stream's origin: accepts frames, decides, switches, answers in order."""
