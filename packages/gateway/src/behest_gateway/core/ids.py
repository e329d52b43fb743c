"""Identifiers are made here, never in a store."""

from __future__ import annotations

import os
import random
import time
import uuid

_bits = random.Random(os.urandom(32)).getrandbits
"""Seeded by the system once: ids must not repeat, but need not be secret, and asking the system costs 2 us a time."""


def new_id() -> str:
    """A UUID of version 7: sortable by the millisecond it was made in."""
    ms = time.time_ns() // 1_000_000
    tail = _bits(80)
    value = (
        (ms & 0xFFFF_FFFF_FFFF) << 80
        | 0x7 << 76
        | (tail >> 68 & 0xFFF) << 64
        | 0b10 << 62
        | tail & 0x3FFF_FFFF_FFFF_FFFF
    )
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_random_id() -> str:
    """A UUID of version 4, for what must not be guessed or ordered."""
    return str(uuid.uuid4())
