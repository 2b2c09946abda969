"""Settings of all tests: Hypothesis draws the same few examples every time; a slow machine is no fault of the code.

``SEAMLINE_EXAMPLES=thorough`` draws twenty times as many, others every time. A property that costs far more or far less
than others takes a share of them: ``settings(max_examples=settings.default.max_examples // 2)``.
"""

import os

from hypothesis import settings

settings.register_profile("suite", deadline=None, database=None, derandomize=True, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("SEAMLINE_EXAMPLES", "suite"))
