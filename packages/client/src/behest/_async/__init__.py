"""The client, as it is written: `_sync` is generated from these files by `scripts/unasync.py`."""
