"""State in SQLite: one file, one writing connection, numbered migrations."""
