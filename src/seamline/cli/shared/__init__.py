"""What several commands share: options, parsing, tables, live view."""
