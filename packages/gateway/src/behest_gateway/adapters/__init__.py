"""Ports made real, each named by its technology. Only `app.py` imports from here."""
