"""The header names of the wire, written once. HTTP compares them without regard to case."""

from __future__ import annotations

SESSION_ID = "X-Session-Id"
THREAD_ID = "X-Thread-Id"
REQUEST_ID = "X-Request-Id"
TRACE_ID = "X-Trace-Id"
ADMIN_SECRET = "X-Admin-Secret"  # noqa: S105  (a name, not a secret)
COST_USD = "X-Behest-Cost-Usd"
MODEL = "X-Behest-Model"
PROVIDER = "X-Behest-Provider"
MAX_TOKENS_CLAMPED = "X-Behest-Max-Tokens-Clamped"
MAX_COST_USD = "X-Behest-Max-Cost-Usd"
USAGE_COMMENT = "X-Behest-Usage-Comment"
BUDGET_REMAINING_USD = "X-Behest-Budget-Remaining-Usd"
BUDGET_REMAINING_TOKENS = "X-Behest-Budget-Remaining-Tokens"
BUDGET_REMAINING_REQUESTS = "X-Behest-Budget-Remaining-Requests"
SHOULD_RETRY = "X-Should-Retry"
RETRY_AFTER = "Retry-After"
CLIENT_REQUEST_ID = "X-Client-Request-Id"

EXPOSED = (
    TRACE_ID,
    REQUEST_ID,
    RETRY_AFTER,
    COST_USD,
    MODEL,
    PROVIDER,
    MAX_TOKENS_CLAMPED,
    BUDGET_REMAINING_USD,
    BUDGET_REMAINING_TOKENS,
    BUDGET_REMAINING_REQUESTS,
    SHOULD_RETRY,
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "RateLimit",
    "RateLimit-Policy",
)
"""What a browser may read from an answer; CORS knows no prefixes, so each is named."""

EDGE = ("X-Tenant-Id", "X-Project-Id", "X-End-User-Id", "X-Role", "X-Tier", SESSION_ID)
"""What the gateway tells a custom upstream about the caller, and never believes from one (but the session)."""
