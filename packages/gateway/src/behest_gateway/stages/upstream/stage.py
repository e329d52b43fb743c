"""Send an attempt, and read what comes back."""

from __future__ import annotations

from typing import Any, Literal

from behest_gateway.core.errors import GatewayError
from behest_gateway.core.exchange import Admitted
from behest_gateway.stages.upstream.dialects import openai
from behest_gateway.stages.upstream.ports import Reply, Sender, SendError

MAX_COMPLETION_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024


Failing = Literal["rejected", "unreached", "timed_out", "broken"]


class AttemptError(Exception):
    """An attempt brought no answer.

    Args:
        error: What the caller is told.
        ending: How it ended, for `meter.rules.charge`: rejected, unreached, timed_out or broken.
    """

    def __init__(self, error: GatewayError, ending: Failing) -> None:
        super().__init__(error.message)
        self.error = error
        self.ending: Failing = ending


def failure_of(failed: SendError) -> AttemptError:
    """What a caller is told when the network to the provider fails."""
    if failed.kind == "timed_out":
        return AttemptError(GatewayError("upstream_timeout", "The provider did not answer in time."), failed.kind)
    if failed.kind == "unreached":
        error = GatewayError("upstream_error", "The provider could not be reached. Nothing was charged.")
    else:
        return broke_off()
    return AttemptError(error, failed.kind)


def nonsense() -> AttemptError:
    """What a caller is told when the provider does not speak its own dialect."""
    return AttemptError(GatewayError("upstream_error", "The provider's answer is not a chat completion."), "broken")


def broke_off() -> AttemptError:
    """What a caller is told when a stream ends in the middle."""
    return AttemptError(GatewayError("upstream_error", "The provider's answer broke off."), "broken")


def told_by_provider(error: dict[str, Any]) -> AttemptError:
    """What a caller is told when a provider reports an error in mid-stream."""
    message = error.get("message")
    said = message[: openai.MAX_MESSAGE] if isinstance(message, str) else "The provider reported an error."
    return AttemptError(GatewayError("upstream_error", said, details={"source": "provider"}), "broken")


class EventStream:
    """The events of a streamed answer, a batch for each piece that the network brings."""

    __slots__ = ("_reader", "_reply")

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._reader = openai.StreamReader()

    @property
    def done(self) -> bool:
        """The provider said that it is finished."""
        return self._reader.done

    async def next(self) -> list[openai.Event] | None:
        """The next events, perhaps none yet, or None at the end of the body.

        Raises:
            AttemptError: The stream broke off or is not this dialect.
        """
        if self._reader.malformed:
            raise nonsense()
        try:
            chunk = await self._reply.chunk()
            events = self._reader.feed(chunk)
        except SendError as failed:
            raise failure_of(failed) from None
        except openai.MalformedError:
            raise nonsense() from None
        return events if chunk or events else None

    def close(self) -> None:
        """Stop the provider, unless it has finished."""
        if self._reader.done:
            self._reply.release()
        else:
            self._reply.close()


class Upstream:
    """Sends attempts to providers."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    async def open(self, admitted: Admitted) -> Reply:
        """Send an attempt and wait until its answer begins.

        Raises:
            AttemptError: The provider refused or cannot be reached.
        """
        role = admitted.routed.guarded.composed.identified.caller.role
        try:
            reply = await self._sender.send(
                openai.url_of(admitted.plan.provider), openai.headers_of(admitted, role), openai.body_of(admitted)
            )
        except SendError as failed:
            raise failure_of(failed) from None
        if reply.status == 200:
            return reply
        try:
            body = await reply.read(MAX_ERROR_BYTES) if reply.status >= 400 else b""
        except SendError:
            body = b""
        finally:
            reply.close()
        # Another success than 200 is no refusal: whatever it is, it may have been billed.
        ending: Failing = "rejected" if reply.status >= 300 else "broken"
        raise AttemptError(openai.refusal_of(reply.status, reply.headers, body), ending)

    async def whole(self, reply: Reply) -> tuple[bytes, openai.Completion]:
        """Read an answer that is not streamed.

        Raises:
            AttemptError: It broke off, or is not a chat completion.
        """
        try:
            body = await reply.read(MAX_COMPLETION_BYTES)
            return body, openai.read_completion(body)
        except SendError as failed:
            raise failure_of(failed) from None
        except openai.MalformedError:
            raise nonsense() from None
        finally:
            reply.close()

    def events(self, reply: Reply) -> EventStream:
        """Read an answer that is streamed."""
        if "text/event-stream" not in reply.headers.get("content-type", ""):
            reply.close()
            raise nonsense()
        return EventStream(reply)
