"""What is printed, and what gets into the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.generator import Seen
from benchmarks.report import Measured


def measured(name: str, *costs: float) -> Measured:
    rounds = [Seen(answers=1000, seconds=1, cpu=cost / 1000, all_answers=1000) for cost in costs]
    return Measured(name=name, versions=name, rate=500, paced_rate=50, memory=100 * 2**20, seen={"json": rounds})


def test_the_round_that_was_disturbed_least_counts() -> None:
    assert measured("nginx", 40, 20, 30).cost("json") == pytest.approx(20)
    assert measured("nginx", 40, 20, 30).worst_cost("json") == pytest.approx(40)


def test_aims_say_whether_they_are_met() -> None:
    found = [str(aim) for aim in report.aims([measured("nginx", 20), measured("behest", 250)], {"behest gateway": 0.5})]

    assert found == [
        "behest, JSON: CPU over nginx's: 12.5× (aim: at most 12×): NOT MET",
        "behest: memory after the load: 100 MiB (aim: at most 120 MiB): met",
        "start, behest gateway: 0.50 s (aim: at most 1 s): met",
    ]


def test_a_subject_that_is_not_there_leaves_a_dash() -> None:
    table = report.json_table([measured("direct", 20), measured("behest", 200)])

    assert "| behest |                    200 (200) |       – |" in table


def test_a_report_replaces_the_one_before_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Before.\n{report.BEGIN}\nold\n{report.END}\nAfter.\n", encoding="utf-8")

    report.write_into(page, "new")
    report.write_into(page, "newer")

    assert page.read_text(encoding="utf-8") == f"Before.\n{report.BEGIN}\n\nnewer\n\n{report.END}\nAfter.\n"


def test_a_page_without_a_place_for_the_report_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Nothing.\n", encoding="utf-8")

    with pytest.raises(ValueError, match="no place"):
        report.write_into(page, "new")
