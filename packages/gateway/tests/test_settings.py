"""The gateway's own options: what cannot be used stops the start, and is named."""

from __future__ import annotations

import pytest
from behest_gateway.settings import SettingsError, read_settings


def test_addresses_are_limited_as_published_and_no_proxy_is_trusted_unless_it_is_named() -> None:
    settings = read_settings({})

    assert (settings.ip_rpm_limit, settings.trusted_proxies) == (120, None)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BEHEST_GATEWAY_IP_RPM_LIMIT", "-1"),
        ("BEHEST_GATEWAY_IP_RPM_LIMIT", "many"),
        ("BEHEST_GATEWAY_TRUSTED_PROXIES", "10.0.0.0/8, proxy.example.com"),
        ("BEHEST_GATEWAY_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("BEHEST_GATEWAY_TRUSTED_PROXIES", "10.0.0.0/8 fd00::/8"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_its_variable(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        read_settings({variable: value})


def test_zero_requests_a_minute_and_several_networks_can_be_used() -> None:
    settings = read_settings(
        {"BEHEST_GATEWAY_IP_RPM_LIMIT": "0", "BEHEST_GATEWAY_TRUSTED_PROXIES": "10.0.0.0/8,fd00::/8, 192.0.2.7"}
    )

    assert (settings.ip_rpm_limit, settings.trusted_proxies) == (0, "10.0.0.0/8,fd00::/8, 192.0.2.7")
