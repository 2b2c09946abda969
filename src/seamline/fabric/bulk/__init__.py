"""Bulk lane of a fabric: messages in chunks, within a window that follows the path."""
