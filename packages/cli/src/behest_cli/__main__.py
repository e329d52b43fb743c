"""`python -m behest_cli` is `behest`."""

from behest_cli.main import main

main()
