"""The version of this package, written once."""

from __future__ import annotations

__version__ = "1.6.0a1"
