"""The `behest` command, and `behest_cli.dev.running`, the whole product on loopback for a test."""
