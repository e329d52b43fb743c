"""One call's way in and out: what it took at the door, and gives back when it leaves."""

from __future__ import annotations

from behest_gateway.stages.door.ports import Rate, Rates, Refused, Standing, Ticket


class Visit:
    """What one call takes of its rates. It belongs to one task, and `leave` ends it."""

    __slots__ = ("_has_tried", "_rates", "_requests", "_seen", "_tokens")

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._seen: tuple[Rate, ...] = ()
        self._requests: Ticket | None = None
        self._tokens: Ticket | None = None
        self._has_tried = False

    def enter(self, rates: tuple[Rate, ...]) -> Refused | None:
        """Take one request, and a place among the calls that are under way."""
        self._seen = rates
        taken = self._rates.take(rates)
        if isinstance(taken, Refused):
            return taken
        self._requests = taken
        return None

    def weigh(self, rates: tuple[Rate, ...], tokens: int) -> Refused | None:
        """Take an attempt's tokens. When there is no room for those of the first, the request is given back too."""
        is_first, self._has_tried = not self._has_tried, True
        if is_first:
            self._seen += rates
        taken = self._rates.take(rates, tokens)
        if isinstance(taken, Refused):
            if is_first and self._requests is not None:
                self._requests.give_back()
            return taken
        self._tokens = taken
        return None

    def used(self, tokens: int) -> None:
        """An attempt ended: give back what it did not use."""
        if self._tokens is not None:
            self._tokens.give_back(tokens)
            self._tokens = None

    def leave(self) -> None:
        """The call is over, however it ended. Tokens of an attempt that was never made are given back whole."""
        if self._tokens is not None:
            self._tokens.give_back()
        if self._requests is not None:
            self._requests.give_back(used=1)

    def standings(self) -> list[Standing]:
        """How each rate that applies to this call stands now."""
        return [self._rates.standing(rate) for rate in self._seen]
