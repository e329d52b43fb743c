"""What the ledger would have come to under other prices, models or caps, and who would have been refused. No I/O.

Rows are taken in the order in which their requests came. Each is priced again by its tokens; what has no tokens of its
own, such as `unconfirmed`, keeps its charge. Then it must fit into what is left of every cap that it counts in, or it
is refused and counts in none. A real gateway decides earlier, by the most that a call can cost, so near a limit it
refuses a little more; and nobody knows what a user does next who is refused. With nothing changed, the sum is the
ledger's to the nano-dollar.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from msgspec import Struct

from behest_gateway.control.caps import Cap, Past
from behest_gateway.core.budgets import NOTHING, Amounts
from behest_gateway.core.counters import Counters, Granted
from behest_gateway.core.errors import invalid
from behest_gateway.core.prices import Band, PriceVector, Rates, cost_nano, vector_hash


class Assumptions(Struct, frozen=True, kw_only=True):
    """What is to be different.

    Attributes:
        rates: Prices by model; they come before every other.
        models: By the model that was asked, the one whose price is taken instead.
        caps: Instead of the budgets that were in force, which have had their effect on what the ledger holds.
    """

    rates: dict[str, Rates]
    models: dict[str, str]
    caps: tuple[Cap, ...]


class ModelCost(Struct, kw_only=True):
    """What a model cost. Money in nano-dollars.

    Attributes:
        priced_as: The model whose price is assumed.
        before_nano: What the ledger says.
        repriced_nano: The same calls under the assumed prices.
        after_nano: Those of them that the caps let pass.
    """

    model: str
    priced_as: str
    calls: int = 0
    refused: int = 0
    before_nano: int = 0
    repriced_nano: int = 0
    after_nano: int = 0


class Refusals(Struct, kw_only=True):
    """Who would have been refused.

    Attributes:
        user_id: None for one whose id was erased.
        session_id: None where users are listed.
        first_at: When first, microseconds since 1970.
        spared_nano: What the refused calls would have cost.
        caps: The caps that refused, by name, in the order in which they first did.
    """

    project: str
    user_id: str | None
    session_id: str | None
    times: int = 0
    first_at: int = 0
    spared_nano: int = 0
    caps: list[str]


class Replayed(Struct, kw_only=True):
    """What a replay came to. Money in nano-dollars.

    Attributes:
        calls: Attempts that were sent and may have cost something.
        kept: Of these, those without tokens of their own, whose charge of `kept_nano` was left as it is.
        unpriced: Of these, those whose price is not in the file; their charge was left as it is as well.
        refused_before: Requests that were refused when they came; what they would have cost is not known.
    """

    calls: int
    kept: int
    kept_nano: int
    unpriced: int
    refused_before: int
    refused: int
    before_nano: int
    repriced_nano: int
    after_nano: int
    first_at: int | None
    last_at: int | None
    models: list[ModelCost]
    users: list[Refusals]
    sessions: list[Refusals]


PriceOf = Callable[[str, str], PriceVector | None]
"""The price of a provider's model now, or None when none is known."""


def replay(
    rows: Iterable[Past], prices: dict[str, PriceVector], assumptions: Assumptions, price_of: PriceOf
) -> Replayed:
    """Take rows, in order, through prices and caps.

    Args:
        prices: The vectors that the ledger was charged by, by their hash.
        price_of: For a model that rows are to be priced as, and that `assumptions` has no price for.

    Raises:
        GatewayError: `validation_error` when a model has no known price.
    """
    return _Replay(prices, assumptions, price_of).run(rows)


class _Replay:
    def __init__(self, prices: dict[str, PriceVector], assumptions: Assumptions, price_of: PriceOf) -> None:
        self._prices = prices
        self._assumptions = assumptions
        self._price_of = price_of
        self._counters = Counters()
        self._caps = {cap.budget.id: cap for cap in assumptions.caps}.values()  # The same one twice is one.
        self._assumed: dict[tuple[str, str], PriceVector | None] = {}
        self._models: dict[tuple[str, str], ModelCost] = {}
        self._users: dict[Hashable, Refusals] = {}
        self._sessions: dict[Hashable, Refusals] = {}

    def run(self, rows: Iterable[Past]) -> Replayed:
        kept = kept_nano = unpriced = refused_before = 0
        first_at = last_at = None
        for row in rows:
            first_at, last_at = row.started_at if first_at is None else first_at, row.started_at
            if row.attempt == 0 or row.state in ("refused", "released"):
                refused_before += row.attempt == 0 or row.state == "refused"
                continue
            price = self._price(row)
            if row.state != "settled":
                kept += 1
                kept_nano += row.cost_nano
            elif price is None:
                unpriced += 1
            cost = row.cost_nano if row.state != "settled" or price is None else cost_nano(row.usage, price)
            self._book(row, cost)
        costs = list(self._models.values())
        return Replayed(
            calls=sum(each.calls for each in costs),
            kept=kept,
            kept_nano=kept_nano,
            unpriced=unpriced,
            refused_before=refused_before,
            refused=sum(each.refused for each in costs),
            before_nano=sum(each.before_nano for each in costs),
            repriced_nano=sum(each.repriced_nano for each in costs),
            after_nano=sum(each.after_nano for each in costs),
            first_at=first_at,
            last_at=last_at,
            models=sorted(costs, key=lambda each: (-each.before_nano, each.model, each.priced_as)),
            users=_most_first(self._users),
            sessions=_most_first(self._sessions),
        )

    def _price(self, row: Past) -> PriceVector | None:
        model = self._assumptions.models.get(row.model, row.model)
        named = (row.provider, model)
        if model not in self._assumptions.rates and model == row.model:
            return self._prices.get(row.price_hash)
        if named not in self._assumed:
            own = self._assumptions.rates.get(model)
            found = self._price_of(*named) if own is None else _vector(row.provider, model, own)
            if found is None:
                raise invalid(f"No price is known for the model {model!r}; give one with --prices.", "model")
            self._assumed[named] = found
        return self._assumed[named]

    def _book(self, row: Past, cost: int) -> None:
        priced_as = self._assumptions.models.get(row.model, row.model)
        model = self._models.get((row.model, priced_as))
        if model is None:
            model = self._models[row.model, priced_as] = ModelCost(model=row.model, priced_as=priced_as)
        model.calls += 1
        model.before_nano += row.cost_nano
        model.repriced_nano += cost
        amounts = row.amounts(cost)
        counted = [(cap, subject) for cap in self._caps if (subject := cap.subject_of(row, priced_as)) is not None]
        claims = tuple((cap.budget, subject) for cap, subject in counted)
        granted = self._counters.hold(
            claims, row.started_at, lambda left: (0, amounts) if _fits(amounts, left) else None, lambda: NOTHING
        )
        if isinstance(granted, Granted):
            model.after_nano += cost
            self._counters.settle(granted.slots, amounts, amounts)
        else:
            model.refused += 1
            lefts = (self._counters.left((claim,), row.started_at) for claim in claims)
            refusing = [cap.name for (cap, _), left in zip(counted, lefts, strict=True) if not _fits(amounts, left)]
            self._refuse(row, cost, refusing)

    def _refuse(self, row: Past, cost: int, refusing: list[str]) -> None:
        listings: list[tuple[dict[Hashable, Refusals], Hashable, str | None]] = [(self._users, row.user_ref, None)]
        if row.session_id is not None:
            listings.append((self._sessions, (row.user_ref, row.session_id), row.session_id))
        for listing, key, session_id in listings:
            refusals = listing.get(key)
            if refusals is None:
                refusals = listing[key] = Refusals(
                    project=row.project, user_id=row.user_id, session_id=session_id, first_at=row.started_at, caps=[]
                )
            refusals.times += 1
            refusals.spared_nano += cost
            refusals.caps += [name for name in refusing if name not in refusals.caps]


def _fits(amounts: Amounts, left: Amounts) -> bool:
    return amounts.nano <= left.nano and amounts.tokens <= left.tokens and amounts.requests <= left.requests


def _most_first(listing: dict[Hashable, Refusals]) -> list[Refusals]:
    return sorted(listing.values(), key=lambda each: (-each.times, each.first_at))


def _vector(provider: str, model: str, rates: Rates) -> PriceVector:
    bands = (Band(above=0, rates=rates),)
    return PriceVector(
        provider=provider, model=model, bands=bands, version="assumed", hash=vector_hash(provider, model, bands)
    )


def parse_models(texts: Iterable[str]) -> dict[str, str]:
    """Read which models are to be priced as which others, each as `FROM=TO`.

    Raises:
        GatewayError: `validation_error` when one is malformed or said twice.

    >>> parse_models(["gpt-4o=gpt-4o-mini"])
    {'gpt-4o': 'gpt-4o-mini'}
    """
    models: dict[str, str] = {}
    for text in texts:
        asked, _, other = (part.strip() for part in text.partition("="))
        if not asked or not other:
            raise invalid(f"--model {text!r} must be FROM=TO, like gpt-4o=gpt-4o-mini.", "model")
        if asked in models:
            raise invalid(f"--model names {asked!r} twice.", "model")
        models[asked] = other
    return models
