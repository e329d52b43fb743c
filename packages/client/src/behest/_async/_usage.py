"""What was used, and what it cost."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

import httpx

from .._errors import BehestError
from .._minting import MintOptions
from .._results import UsageReport
from .._wire import read_object, usage_ask
from ._auth import AsyncAuthModule


class AsyncUsageModule:
    """What was used, and what it cost."""

    def __init__(self, auth: AsyncAuthModule) -> None:
        self._auth = auth

    async def get(
        self,
        *,
        from_: datetime | date | str | None = None,
        to: datetime | date | str | None = None,
        user_id: str | None = None,
        granularity: Literal["minute", "hour", "day"] = "day",
        session_id: str | None = None,
        tier: int | str | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout | None = None,
    ) -> UsageReport:
        """Sum up usage and cost.

        Args:
            from_: Where to begin; a time without a zone, or a date, is UTC.
            to: Where to end.
            user_id: Whose usage. The token that asks is this user's too, since a user may only see their own.
            granularity: The step of the breakdown.
            session_id: The session of this call.
            tier: The user's plan, from your billing data.
            token: A token of `auth.mint()` to use instead; one with an admin role sees every user.
            timeout: Seconds of silence to bear; 60 when left out.

        Returns:
            Totals, a breakdown over time, and the state of the budgets.

        Raises:
            BehestError: The gateway has no usage endpoint (`not_supported`), or refused.

        >>> behest = AsyncBehest()
        >>> report = await behest.usage.get(from_="2026-11-01", user_id="u_42")
        >>> report.totals.tokens, report.totals.cost_usd
        (12, 0.0015)
        """
        ask = usage_ask(from_=from_, to=to, user_id=user_id, granularity=granularity, timeout=timeout)
        options = MintOptions(user_id=user_id, session_id=session_id, tier=tier)
        try:
            report = read_object(await self._auth.fetch(ask, options, token))
        except BehestError as error:
            if error.status != 404:
                raise
            raise BehestError(
                "This gateway does not report usage.",
                status=404,
                code="not_supported",
                trace_id=error.trace_id,
                raw=error.raw,
            ) from error
        return UsageReport.of(report)
