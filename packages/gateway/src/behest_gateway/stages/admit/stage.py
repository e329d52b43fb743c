"""Hold the most that an attempt can cost, just before it is sent."""

from __future__ import annotations

from behest_gateway.core.budgets import Amounts
from behest_gateway.core.exchange import Admitted, Entry, Plan, Routed
from behest_gateway.core.ids import new_id
from behest_gateway.stages.admit import rules
from behest_gateway.stages.admit.ports import Exhausted, Holds


class Admit:
    """The only taker of holds.

    Args:
        seconds: How long an attempt may run, and so how long its money may be held.
    """

    def __init__(self, holds: Holds, seconds: int) -> None:
        self._holds = holds
        self._seconds = seconds

    async def admit(self, routed: Routed, plan: Plan) -> Admitted:
        """Hold money in every budget that this call counts against.

        Raises:
            GatewayError: `quota_exceeded` or `budget_exceeded` when there is too little; `validation_error` for a part
                whose cost cannot be bounded; `unavailable` when the store cannot write.
        """
        composed = routed.guarded.composed
        identified = composed.identified
        policy, call = identified.policy, identified.call
        entry = entry_of(routed, plan)
        budgets = identified.project.budgets.of(entry, plan.model)
        if policy.quotas:
            budgets += policy.quotas
        if call.most_nano is not None or any(budget.needs_a_bound for budget in budgets):
            refusal = rules.uncovered(routed, plan)
            if refusal is not None:
                raise refusal
        ask = rules.ask_for(routed, plan, self._seconds)
        hold = await self._holds.reserve(entry, ask, budgets)
        if isinstance(hold, Exhausted):
            raise rules.exhausted_refusal(hold, policy.tier, call.most_nano)
        return Admitted(
            routed=routed, plan=plan, entry=entry, hold=hold, clamped=hold.max_tokens < ask.max_tokens, since=call.clock
        )

    def left(self, admitted: Admitted) -> Amounts | None:
        """The least that is left now in the budgets of an attempt; None when it has none."""
        return self._holds.left(admitted.entry, admitted.hold) if admitted.hold.slots else None


def entry_of(routed: Routed, plan: Plan) -> Entry:
    """Who and what an attempt is for."""
    composed = routed.guarded.composed
    identified = composed.identified
    call, caller = identified.call, identified.caller
    return Entry(
        attempt_id=new_id(),
        request_id=call.request_id,
        attempt=plan.number,
        operation=call.operation,
        started_at=call.started_at,
        tenant_id=caller.tenant_id,
        project_id=caller.project_id,
        user_id=caller.user_id,
        api_key_id=caller.key_id,
        session_id=call.session_id or caller.session_id,
        thread_id=call.thread_id,
        tier=identified.policy.tier,
        provider=plan.provider.name,
        model_asked=composed.model_asked,
        model=plan.model,
        stream=composed.stream,
        price_version=plan.price.version,
        price_hash=plan.price.hash,
    )
