"""Settings of all tests: Hypothesis draws the same examples every time, and a slow machine is no fault of the code."""

from hypothesis import settings

settings.register_profile("claims", deadline=None, derandomize=True)
settings.load_profile("claims")
