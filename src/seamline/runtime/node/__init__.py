"""A node: receives frames, runs segments, tells its peers how it fares."""
