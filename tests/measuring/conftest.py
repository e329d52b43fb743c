"""The benchmark's parts, over real processes and sockets. No speed is tested: a busy machine may be slow."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # `benchmarks` is a folder of programs, not an installed package.
