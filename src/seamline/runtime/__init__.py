"""The I/O shell: everything with a thread, a queue or a clock. Decisions come from `seamline.core`."""
