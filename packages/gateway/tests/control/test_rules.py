"""Names, slugs, limits and timezones."""

from __future__ import annotations

import pytest
from behest_gateway.control.budgets import check_timezone, read_limit
from behest_gateway.control.rules import clean_name, clean_slug, new_slug
from behest_gateway.core.errors import GatewayError


def test_a_slug_that_is_made_up_is_one_that_may_be_given() -> None:
    for _ in range(200):
        slug = new_slug()
        adjective, noun, digits = slug.split("-")
        assert clean_slug(slug) == slug
        assert adjective.isalpha()
        assert noun.isalpha()
        assert len(digits) == 3
        assert digits.isdigit()


@pytest.mark.parametrize("slug", ["abc", "a1b", "support-chat", "a-b-c", "0-1", "x" * 63])
def test_a_slug_is_a_label_of_a_host_name(slug: str) -> None:
    assert clean_slug(slug) == slug


@pytest.mark.parametrize(
    "slug",
    ["", "ab", "x" * 64, "-abc", "abc-", "a--b", "Abc", "a_b", "a.b", "ä-b", "abc\n", "a b", "www", "api", "admin"],
)
def test_a_slug_that_is_no_label_or_is_reserved_is_refused(slug: str) -> None:
    with pytest.raises(GatewayError) as caught:
        clean_slug(slug)

    assert (caught.value.status, caught.value.param) == (400, "slug")


def test_a_name_loses_the_space_around_it() -> None:
    assert clean_name("  Büro 東京 ") == "Büro 東京"


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "a\nb", "a\x00b", "\ud800"])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(GatewayError) as caught:
        clean_name(name)

    assert (caught.value.status, caught.value.param) == (400, "name")


@pytest.mark.parametrize(
    ("limit_usd", "nano"),
    [
        (0, 0),
        (25, 25_000_000_000),
        (0.1, 100_000_000),
        ("12.50", 12_500_000_000),
        (" 7 ", 7_000_000_000),
        ("0.0000000001", 1),
        (9_000_000, 9_000_000_000_000_000),
        ("9000000.000000000", 9_000_000_000_000_000),
    ],
)
def test_a_limit_is_read_exactly(limit_usd: object, nano: int) -> None:
    assert read_limit(limit_usd) == nano


@pytest.mark.parametrize(
    "limit_usd",
    [
        -1,
        -0.01,
        "-1",
        "",
        "abc",
        "1e9",
        "1e999999",
        "$5",
        "1,5",
        "٣",
        "9000000.01",
        9_000_001,
        pytest.param(10**5000, id="huge"),
        1e308,
        float("nan"),
        float("inf"),
        True,
        None,
        [],
        {},
    ],
)
def test_a_limit_that_is_no_amount_or_too_large_is_refused(limit_usd: object) -> None:
    with pytest.raises(GatewayError) as caught:
        read_limit(limit_usd)

    assert (caught.value.status, caught.value.param) == (400, "limit_usd")


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_a_timezone_is_one_of_the_database(timezone: str) -> None:
    assert check_timezone(timezone) == timezone


@pytest.mark.parametrize(
    "timezone",
    [
        "",
        "Mars/Olympus",
        "Europe",
        "../etc/passwd",
        "/etc/localtime",
        "localtime",
        "UTC\x00",
        "x" * 65,
        "Europe/Berlin/",
    ],
)
def test_a_timezone_that_does_not_exist_is_refused(timezone: str) -> None:
    with pytest.raises(GatewayError) as caught:
        check_timezone(timezone)

    assert (caught.value.status, caught.value.param) == (400, "timezone")
