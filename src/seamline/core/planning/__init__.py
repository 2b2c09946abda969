"""The best plan, exactly: problem arrays, searches, bounds, and brute force as their oracle."""
