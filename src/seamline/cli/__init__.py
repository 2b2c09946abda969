"""The `seamline` command: thin commands over the library, one file per group. Nothing here decides anything."""
