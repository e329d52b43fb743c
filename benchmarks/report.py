"""Measurements as tables, for a terminal and for docs/reference/performance.md alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.generator import Seen
from benchmarks.wire import EVENTS

BEGIN, END = "<!-- What stands from here is written by the benchmark. -->", "<!-- To here. -->"
BASIS = "nginx"


@dataclass(slots=True, kw_only=True)
class Measured:
    """All rounds of one subject: what was seen, by kind of load.

    Attributes:
        seen: `json` and `burst` as fast as answers come, `rate` and `paced` at a fixed rate.
        rate, paced_rate: Those rates, a second.
        memory: Bytes that it held at the end.
    """

    name: str
    versions: str
    rate: float
    paced_rate: float
    memory: int = 0
    seen: dict[str, list[Seen]] = field(default_factory=dict[str, list[Seen]])

    def best(self, kind: str) -> Seen | None:
        """The round that took the least CPU for an answer: what disturbs only ever adds."""
        rounds = [seen for seen in self.seen.get(kind, []) if seen.answers]
        return min(rounds, key=_cost, default=None)

    def cost(self, kind: str) -> float | None:
        """Microseconds of CPU for an answer."""
        best = self.best(kind)
        return None if best is None else _cost(best)

    def worst_cost(self, kind: str) -> float | None:
        """The same of the round that took the most."""
        return max((_cost(seen) for seen in self.seen.get(kind, []) if seen.answers), default=None)

    def quantile(self, kind: str, share: float, *, first_byte: bool = False) -> float | None:
        """Milliseconds within which that share of all answers came, or began."""
        found: list[float] = []
        for seen in self.seen.get(kind, []):
            found += seen.first_byte if first_byte else seen.milliseconds
        found.sort()
        return found[min(len(found) - 1, int(len(found) * share))] if found else None


def _cost(seen: Seen) -> float:
    return seen.cpu / seen.answers * 1e6


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns are aligned, numbers to the right."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        numbers = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join((cells[0].ljust(widths[0]), *numbers))} |"

    rule = ["-" * width if at == 0 else "-" * (width - 1) + ":" for at, width in enumerate(widths)]
    return "\n".join((line(head), f"| {' | '.join(rule)} |", *(line(row) for row in rows)))


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _times(value: float | None, basis: float | None) -> str:
    return "–" if value is None or not basis else f"{value / basis:.1f}×"


def _pair(first: float | None, second: float | None) -> str:
    return f"{_number(first)} / {_number(second)}"


def _more(value: float | None, basis: float | None) -> float | None:
    return None if value is None or basis is None else value - basis


def _range(one: Measured, kind: str) -> str:
    least, most = one.cost(kind), one.worst_cost(kind)
    return "–" if least is None else f"{_number(least)} ({_number(most)})"


def _saturated(one: Measured, kind: str) -> tuple[str, str]:
    best = one.best(kind)
    if best is None:
        return "–", "–"
    return f"{best.answers / best.seconds:,.0f}", f"{min(100, 100 * best.cpu / best.seconds):.0f} %"


def json_table(all_measured: Sequence[Measured]) -> str:
    """JSON answers: CPU, throughput, latency."""
    basis, direct = _find(all_measured, BASIS), _find(all_measured, "direct")
    rows: list[list[str]] = []
    for one in all_measured:
        is_direct = one.name == "direct"
        p50, p99 = one.quantile("rate", 0.5), one.quantile("rate", 0.99)
        base50, base99 = (direct.quantile("rate", 0.5), direct.quantile("rate", 0.99)) if direct else (None, None)
        requests, busy = _saturated(one, "json")
        rows.append(
            [
                one.name,
                "–" if is_direct else _range(one, "json"),
                "–" if is_direct or basis is None else _times(one.cost("json"), basis.cost("json")),
                requests,
                "–" if is_direct else busy,
                f"{one.rate:g}",
                _pair(p50, p99),
                "–" if is_direct else _pair(_more(p50, base50), _more(p99, base99)),
            ]
        )
    head = ["JSON", "CPU µs/request: best (worst)", "× nginx", "requests/s", "its core", "at a rate of", "p50 / p99 ms",
            "added p50 / p99 ms"]  # fmt: skip
    return table(head, rows)


def stream_table(all_measured: Sequence[Measured]) -> str:
    """Streams: CPU and throughput of bursts, CPU and the time to the first event of paced ones."""
    basis, direct = _find(all_measured, BASIS), _find(all_measured, "direct")
    rows: list[list[str]] = []
    for one in all_measured:
        is_direct = one.name == "direct"
        p50 = one.quantile("paced", 0.5, first_byte=True)
        p99 = one.quantile("paced", 0.99, first_byte=True)
        base = direct.quantile("paced", 0.5, first_byte=True) if direct else None
        streams, busy = _saturated(one, "burst")
        paced = one.cost("paced")
        rows.append(
            [
                one.name,
                "–" if is_direct else _range(one, "burst"),
                "–" if is_direct or basis is None else _times(one.cost("burst"), basis.cost("burst")),
                streams,
                "–" if is_direct else busy,
                f"{one.paced_rate:g}",
                "–" if is_direct else _range(one, "paced"),
                "–" if is_direct or paced is None else _number(paced / len(EVENTS)),
                "–" if is_direct or basis is None else _times(paced, basis.cost("paced")),
                _pair(p50, p99),
                "–" if is_direct else _number(_more(p50, base)),
            ]
        )
    head = ["SSE, 33 events", "at once: CPU µs/stream", "× nginx", "streams/s", "its core", "10 ms apart, at a rate of",
            "CPU µs/stream", "µs/event", "× nginx", "first event p50 / p99 ms", "added p50 ms"]  # fmt: skip
    return table(head, rows)


def memory_table(all_measured: Sequence[Measured]) -> str:
    """Memory after the load."""
    rows = [[one.name, f"{one.memory / 2**20:.0f}"] for one in all_measured if one.name != "direct"]
    return table(["After the load", "RSS MiB"], rows)


def start_table(seconds: dict[str, float]) -> str:
    """Starting."""
    return table(["Start to `/ready`, median", "s"], [[name, f"{value:.2f}"] for name, value in seconds.items()])


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Something to reach: a value at most, or at least, so large."""

    text: str
    value: float
    unit: str
    most: float | None = None
    least: float | None = None

    @property
    def is_met(self) -> bool:
        """The value is within its bounds."""
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)

    def __str__(self) -> str:
        aim = f"at most {self.most:g}" if self.most is not None else f"at least {self.least:g}"
        verdict = "met" if self.is_met else "NOT MET"
        return f"{self.text}: {_number(self.value)}{self.unit} (aim: {aim}{self.unit}): {verdict}"


def aims(all_measured: Sequence[Measured], starts: dict[str, float]) -> list[Aim]:
    """What this slice of the gateway is to reach."""
    found: list[Aim] = []
    nginx, portkey, litellm = (_find(all_measured, name) for name in (BASIS, "portkey", "litellm"))
    kinds = {"json": "JSON", "burst": "stream at once", "paced": "paced stream"}
    for ours in (one for one in all_measured if one.name.startswith("behest")):
        for kind, label in kinds.items():
            mine, least = ours.cost(kind), nginx.cost(kind) if nginx is not None else None
            if mine and least:
                text = f"{ours.name}, {label}: CPU over nginx's"
                found.append(Aim(text=text, value=mine / least, most=12, unit="×"))
            for other, times in ((portkey, 3.0), (litellm, 30.0)):
                theirs = other.cost(kind) if other is not None else None
                if other is not None and mine and theirs:
                    text = f"{ours.name}, {label}: {other.name}'s CPU over ours"
                    found.append(Aim(text=text, value=theirs / mine, least=times, unit="×"))
        if ours.memory:
            found.append(
                Aim(text=f"{ours.name}: memory after the load", value=ours.memory / 2**20, most=120, unit=" MiB")
            )
    found += [Aim(text=f"start, {name}", value=value, most=1, unit=" s") for name, value in starts.items()]
    return found


def disturbance(all_measured: Sequence[Measured]) -> str:
    """How much of the subject's core others took while something was counted."""
    shares = sorted(
        100 * seen.foreign / seen.seconds
        for one in all_measured
        if one.name != "direct"
        for rounds in one.seen.values()
        for seen in rounds
        if seen.seconds
    )
    if not shares:
        return "unknown"
    return f"median {shares[len(shares) // 2]:.0f} %, most {shares[-1]:.0f} %"


def _find(all_measured: Sequence[Measured], name: str) -> Measured | None:
    return next((one for one in all_measured if one.name == name), None)


def write_into(path: Path, text: str) -> None:
    """Put a report between the two marks of a page.

    Raises:
        ValueError: The page has not both.
    """
    page = path.read_text("utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no place for the report; it goes between {BEGIN!r} and {END!r}")
    path.write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}", encoding="utf-8")
