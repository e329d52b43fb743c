"""What was charged, as rows of FOCUS 1.4 Cost and Usage: one per meter, and their sum is the ledger's. No I/O.

A row of the ledger is priced in femto-dollars, meter by meter, and rounded up to a nano-dollar once. So each meter's
row here is exactly its unit price times its quantity, and what the rounding added is a row of its own, of the category
Adjustment. A charge that no tokens are known for, such as `unconfirmed`, is one row that is priced by its amount: so
many dollars, at one dollar each. Added up, `EffectiveCost` is `cost_nano` to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from behest_protocol.usage import Usage
from msgspec import Struct, json
from msgspec.structs import astuple, replace

from behest_gateway.control.cells import safe
from behest_gateway.core.clock import iso
from behest_gateway.core.prices import FEMTO_PER_NANO, Parts, PriceVector, Rates, parts_of

FOCUS_COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd",
    "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost",
    "HostProviderName", "InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity",
    "PricingUnit", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName",
    "ServiceProviderName", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId",
    "SubAccountName", "SubAccountType", "Tags", "x_ApiKeyId", "x_Byok", "x_Meter", "x_PriceHash", "x_PriceVersion",
    "x_State", "x_Tier", "x_UserId",
)  # fmt: skip
"""In the order of the file: those of FOCUS by their names, then ours."""

FEMTO_PER_USD = 10**15
_TOKENS, _REQUESTS = "Tokens", "Requests"
_NO_USAGE = Usage()


class Charged(Struct, frozen=True, kw_only=True):
    """What charges need of a row of the ledger."""

    provider: str
    model: str
    user_ref: int
    user_id: str | None
    tier: str | None
    api_key_id: str | None
    byok: bool
    state: str
    price_version: str
    price_hash: str
    usage: Usage
    cost_nano: int


class Charges(Struct, frozen=True, kw_only=True):
    """The attempts of one day that were charged alike.

    Attributes:
        starts_at: The day of UTC, in microseconds since 1970; `ends_at` is the next one.
        row: What they have in common, without what they used and cost.
        above: The band of the price: it holds for inputs longer than this.
        rates: None when they are not known.
        parts: What was used, each token counted once, by what it is.
        cost_nano: What the ledger says, nano-dollars.
    """

    starts_at: int
    ends_at: int
    row: Charged
    above: int
    rates: Rates | None
    parts: Parts
    requests: int
    cost_nano: int


class Owner(Struct, frozen=True, kw_only=True):
    """Whose charges they are."""

    tenant_id: str
    tenant_name: str
    project_id: str
    project_name: str


class _Line(Struct, frozen=True, kw_only=True):
    meter: str
    what: str
    femto: int
    unit_femto: int | None = None
    quantity: str = ""
    unit: str = ""
    is_consumed: bool = False


def charges_of(
    rows: Iterable[Charged], prices: Mapping[str, PriceVector], starts_at: int, ends_at: int
) -> list[Charges]:
    """Add up what was charged alike in a stretch of time, in an order that does not depend on that of the rows."""
    sums: dict[tuple[Charged, int], list[int]] = {}
    for row in rows:
        price = prices.get(row.price_hash)
        alike = replace(row, usage=_NO_USAGE, cost_nano=0)
        key = alike, price.band_for(row.usage.input).above if price is not None else 0
        amounts = (*astuple(parts_of(row.usage)), 1, row.cost_nano)
        known = sums.get(key)
        sums[key] = list(amounts) if known is None else [a + b for a, b in zip(known, amounts, strict=True)]
    found: list[Charges] = []
    for (row, above), (*parts, requests, cost_nano) in sorted(sums.items(), key=_place):
        price = prices.get(row.price_hash)
        found.append(
            Charges(
                starts_at=starts_at,
                ends_at=ends_at,
                row=row,
                above=above,
                rates=price.band_for(above + 1).rates if price is not None else None,  # the band that begins there
                parts=Parts(**dict(zip(Parts.__struct_fields__, parts, strict=True))),
                requests=requests,
                cost_nano=cost_nano,
            )
        )
    return found


def _place(each: tuple[tuple[Charged, int], list[int]]) -> list[tuple[bool, Any]]:
    (row, above), _ = each
    return [(value is not None, value) for value in (*astuple(row), above)]


def focus_rows(owner: Owner, charges: Charges) -> Iterator[dict[str, str]]:
    """The rows of charges, by column, as text: one for each meter that counted, and one for the rounding."""
    common = _common(owner, charges)
    details = json.encode({"x_PriceVersion": charges.row.price_version, "x_InputAbove": charges.above}).decode()
    for line in _lines(charges):
        yield {**common, **_priced(charges, line, details)}


def usd_from_femto(femto: int) -> str:
    """Write femto-dollars as an exact decimal text of dollars.

    >>> usd_from_femto(150_000_000), usd_from_femto(-10**15), usd_from_femto(0)
    ('0.00000015', '-1', '0')
    """
    sign = "-" if femto < 0 else ""
    whole, part = divmod(abs(femto), FEMTO_PER_USD)
    return f"{sign}{whole}.{part:015d}".rstrip("0").rstrip(".")


def _lines(charges: Charges) -> Iterator[_Line]:
    cost = charges.cost_nano * FEMTO_PER_NANO
    rates, parts = charges.rates, charges.parts
    if charges.row.state != "settled" or rates is None:
        meter = "unpriced" if charges.row.state == "settled" else charges.row.state
        if cost:
            yield _Line(
                meter=meter, what=_WITHOUT_TOKENS.get(meter, meter), femto=cost, unit_femto=FEMTO_PER_USD,
                quantity=usd_from_femto(cost), unit="USD",
            )  # fmt: skip
        return
    rest = cost
    for meter, what, quantity, rate, unit in (
        ("input-tokens", "Input tokens", parts.text, rates.input, _TOKENS),
        ("cached-input-tokens", "Input tokens read from the cache", parts.cached_text, rates.cached_read, _TOKENS),
        ("cache-write-tokens", "Input tokens written to the cache", parts.written_text, rates.cache_write, _TOKENS),
        ("audio-input-tokens", "Input tokens of audio", parts.audio, rates.audio_input, _TOKENS),
        ("cached-audio-tokens", "Audio read from the cache", parts.cached_audio, rates.cached_audio_read, _TOKENS),
        (
            "cache-write-audio-tokens",
            "Audio written to the cache",
            parts.written_audio,
            rates.cache_write_audio,
            _TOKENS,
        ),
        ("output-tokens", "Output tokens", parts.text_out, rates.output, _TOKENS),
        ("audio-output-tokens", "Output tokens of audio", parts.audio_out, rates.audio_output, _TOKENS),
        ("requests", "Requests", charges.requests if rates.per_call else 0, rates.per_call, _REQUESTS),
    ):
        if quantity:
            rest -= quantity * rate
            yield _Line(
                meter=meter, what=what, femto=quantity * rate, unit_femto=rate, quantity=str(quantity), unit=unit,
                is_consumed=True,
            )  # fmt: skip
    if rest:
        yield _Line(meter="rounding", what="Rounding up to a nano-dollar for each request", femto=rest)


_WITHOUT_TOKENS = {
    "estimated": "Estimated: the caller left in the middle",
    "unconfirmed": "The worst case: nobody said what was used",
    "corrected": "Correction of an earlier charge",
    "unpriced": "Charged by a price that is not kept",
}


def _common(owner: Owner, charges: Charges) -> dict[str, str]:
    day = datetime.fromtimestamp(charges.starts_at // 1_000_000, UTC)
    month_starts = day.replace(day=1, hour=0, minute=0, second=0)
    next_month = month_starts.replace(year=day.year + day.month // 12, month=day.month % 12 + 1)
    provider = safe(charges.row.provider)
    tags = {"user": charges.row.user_id, "tier": charges.row.tier, "api_key": charges.row.api_key_id}
    return {
        "BillingAccountId": safe(owner.tenant_id),
        "BillingAccountName": safe(owner.tenant_name),
        "BillingCurrency": "USD",
        "BillingPeriodEnd": f"{next_month:%Y-%m-%dT%H:%M:%SZ}",
        "BillingPeriodStart": f"{month_starts:%Y-%m-%dT%H:%M:%SZ}",
        "ChargeClass": "Correction" if charges.row.state == "corrected" else "",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": iso(charges.ends_at),
        "ChargePeriodStart": iso(charges.starts_at),
        "HostProviderName": provider,
        "InvoiceIssuerName": provider,
        "ResourceId": safe(f"{charges.row.provider}/{charges.row.model}"),
        "ResourceName": safe(charges.row.model),
        "ResourceType": "Model",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": provider,
        "ServiceProviderName": provider,
        "ServiceSubcategory": "Generative AI",
        "SubAccountId": safe(owner.project_id),
        "SubAccountName": safe(owner.project_name),
        "SubAccountType": "Project",
        "Tags": json.encode({name: value for name, value in tags.items() if value is not None}).decode(),
        "x_ApiKeyId": safe(charges.row.api_key_id or ""),
        "x_Byok": "true" if charges.row.byok else "false",
        "x_PriceHash": safe(charges.row.price_hash),
        "x_PriceVersion": safe(charges.row.price_version),
        "x_State": charges.row.state,
        "x_Tier": safe(charges.row.tier or ""),
        "x_UserId": safe(charges.row.user_id or ""),
    }


def _priced(charges: Charges, line: _Line, details: str) -> dict[str, str]:
    cost = usd_from_femto(line.femto)
    row = {
        # The provider bills the owner of the key, so this gateway's operator bills nothing for it.
        "BilledCost": "0" if charges.row.byok else cost,
        "ChargeCategory": "Adjustment" if line.unit_femto is None else "Usage",
        "ChargeDescription": safe(f"{line.what} ({charges.row.model})"),
        "ContractedCost": cost,
        "EffectiveCost": cost,
        "ListCost": cost,
        "x_Meter": line.meter,
    }
    if line.unit_femto is None:
        return row
    sku = f"{charges.row.provider}/{charges.row.model}"
    band = f"/above-{charges.above}" if charges.above else ""
    price = usd_from_femto(line.unit_femto)
    row |= {
        "ContractedUnitPrice": price,
        "ListUnitPrice": price,
        "PricingCategory": "Standard",
        "PricingQuantity": line.quantity,
        "PricingUnit": line.unit,
        "SkuId": safe(sku),
        "SkuMeter": line.meter,
        "SkuPriceDetails": details,
        "SkuPriceId": safe(f"{sku}/{line.meter}/{charges.row.price_hash[:16]}{band}"),
    }
    if line.is_consumed:
        row |= {"ConsumedQuantity": line.quantity, "ConsumedUnit": line.unit}
    return row
