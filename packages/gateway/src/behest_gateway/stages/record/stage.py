"""Settle an attempt, or note a refusal."""

from __future__ import annotations

import time

from behest_protocol.usage import Usage

from behest_gateway.core.budgets import NOTHING, Amounts
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.exchange import Admitted, Entry, Identified, Outcome
from behest_gateway.core.ids import new_id
from behest_gateway.core.switches import is_killed
from behest_gateway.core.threads import Turn
from behest_gateway.stages.record.ports import Ledger

_NO_USAGE = Usage()


def _since(start: float) -> int:
    return int((time.perf_counter() - start) * 1_000_000)


class Record:
    """The only one who settles."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def attempt(
        self,
        admitted: Admitted,
        *,
        state: str,
        charged: Amounts,
        usage: Usage | None,
        status: int,
        error_code: str | None = None,
        finish_reason: str | None = None,
        first_byte: float | None = None,
        turn: Turn | None = None,
    ) -> None:
        """Give an attempt's hold back and write what it cost.

        Args:
            first_byte: When the answer began, in seconds of the monotonic clock.
            turn: What its conversation gets.
        """
        outcome = Outcome(
            state=state,
            charged=charged,
            usage=usage or _NO_USAGE,
            status=status,
            error_code=error_code,
            finish_reason=finish_reason,
            latency_us=_since(admitted.since),
            first_byte_us=int((first_byte - admitted.since) * 1_000_000) if first_byte is not None else None,
            turn=turn,
        )
        await self._ledger.settle(admitted.entry, admitted.hold, outcome)

    def refusal(self, identified: Identified, error: GatewayError) -> None:
        """Note that a caller's request was refused before any attempt. Refused rates and kill switches are not noted: a
        flood of them must not fill the ledger."""
        if error.code == "rate_limited" or identified.call.operation == "read" or is_killed(error):
            return
        call, caller = identified.call, identified.caller
        entry = Entry(
            attempt_id=new_id(),
            request_id=call.request_id,
            attempt=0,
            operation=call.operation,
            started_at=call.started_at,
            tenant_id=caller.tenant_id,
            project_id=caller.project_id,
            user_id=caller.user_id,
            api_key_id=caller.key_id,
            session_id=call.session_id or caller.session_id,
            thread_id=call.thread_id,
            tier=identified.policy.tier,
            provider="",
            model_asked="",
            model="",
            stream=False,
            price_version="",
            price_hash="",
        )
        outcome = Outcome(
            state="refused",
            charged=NOTHING,
            usage=_NO_USAGE,
            status=error.status,
            error_code=error.code,
            finish_reason=None,
            latency_us=_since(call.clock),
            first_byte_us=None,
        )
        self._ledger.refuse(entry, outcome)
