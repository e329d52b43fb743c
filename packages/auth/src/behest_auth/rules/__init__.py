"""Decisions without any I/O: what a good token is, who its user is, and which page may ask."""
