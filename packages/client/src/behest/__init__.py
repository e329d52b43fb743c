"""The Behest Python SDK: a token for each of your users, and chat, threads, usage and cost under their name.

    from behest import Behest

    behest = Behest()  # BEHEST_KEY and BEHEST_BASE_URL
    answer = behest.chat.completions.create(messages=[{"role": "user", "content": "Hello"}], user_id="u_42")
    print(answer.text)

`AsyncBehest` is the same with `await`.
"""

from __future__ import annotations

from ._async._auth import AsyncAuthModule
from ._async._chat import AsyncChatModule
from ._async._client import AsyncBehest, AsyncBehestUser
from ._async._stream import AsyncStream
from ._async._threads import AsyncThreadsModule
from ._async._usage import AsyncUsageModule
from ._config import ResolvedConfig, resolve_config
from ._errors import (
    BehestAuthError,
    BehestBadRequestError,
    BehestConfigError,
    BehestError,
    BehestQuotaError,
    BehestRateLimitError,
    BehestServerError,
    classify_http_error,
)
from ._keys import detect_mode
from ._minting import MintOptions, decode_token, generate_session_id
from ._results import (
    BudgetState,
    ChatCompletion,
    ChatCompletionChunk,
    ChatMessage,
    Choice,
    ChunkChoice,
    CompletionUsage,
    Delta,
    FunctionCall,
    LegacyMintResult,
    MintResult,
    Record,
    Thread,
    ThreadMessage,
    ToolCall,
    UsageEntry,
    UsageReport,
    UsageTotals,
)
from ._signing import SignedToken, sign_behest_jwt
from ._sync._auth import AuthModule
from ._sync._chat import ChatModule
from ._sync._client import Behest, BehestUser
from ._sync._stream import Stream
from ._sync._threads import ThreadsModule
from ._sync._usage import UsageModule
from ._version import __version__

__all__ = [
    "AsyncAuthModule",
    "AsyncBehest",
    "AsyncBehestUser",
    "AsyncChatModule",
    "AsyncStream",
    "AsyncThreadsModule",
    "AsyncUsageModule",
    "AuthModule",
    "Behest",
    "BehestAuthError",
    "BehestBadRequestError",
    "BehestConfigError",
    "BehestError",
    "BehestQuotaError",
    "BehestRateLimitError",
    "BehestServerError",
    "BehestUser",
    "BudgetState",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatMessage",
    "ChatModule",
    "Choice",
    "ChunkChoice",
    "CompletionUsage",
    "Delta",
    "FunctionCall",
    "LegacyMintResult",
    "MintOptions",
    "MintResult",
    "Record",
    "ResolvedConfig",
    "SignedToken",
    "Stream",
    "Thread",
    "ThreadMessage",
    "ThreadsModule",
    "ToolCall",
    "UsageEntry",
    "UsageModule",
    "UsageReport",
    "UsageTotals",
    "__version__",
    "classify_http_error",
    "decode_token",
    "detect_mode",
    "generate_session_id",
    "resolve_config",
    "sign_behest_jwt",
]
