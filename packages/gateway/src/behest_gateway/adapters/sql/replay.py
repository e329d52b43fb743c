"""Reading the ledger of a data directory row by row, in the order of its requests, as of one moment."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec

from behest_gateway.adapters.sql.booked import price_vectors, usage_of
from behest_gateway.adapters.sql.database import DatabaseError
from behest_gateway.adapters.sql.queries import load
from behest_gateway.adapters.sql.verify import open_to_read
from behest_gateway.control.caps import Past
from behest_gateway.core.prices import PriceVector

_SQL = load("replay")


class History:
    """The ledger as of one moment."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def project_id(self, named: str) -> str | None:
        """The id of a project that is named by its id or slug."""
        found = list(self._connection.execute(_SQL["project"], {"project": named}))
        return str(found[0][0]) if found else None

    def prices(self) -> dict[str, PriceVector]:
        """Every price vector that was charged by, by its hash."""
        return price_vectors(self._connection)

    def rows(self, project_id: str | None, starts_at: int, ends_at: int) -> Iterator[Past]:
        """The rows of a span, of one project or of all, in the order in which their requests came."""
        values = {"project": project_id, "from": starts_at, "to": ends_at}
        return map(_row, self._connection.execute(_SQL["rows"], values))


@contextmanager
def history(directory: Path) -> Generator[History]:
    """Open the ledger to read it, beside a gateway that runs or without one.

    Raises:
        DatabaseError: There is no data directory, or it cannot be read.
    """
    connection = open_to_read(directory)
    try:
        connection.execute("begin")
        yield History(connection)
    except (apsw.Error, msgspec.MsgspecError) as problem:
        raise DatabaseError(f"the ledger in {directory} cannot be read: {problem}") from None
    finally:
        connection.close()


def _row(values: tuple[Any, ...]) -> Past:
    (
        attempt, started_at, tenant_id, project_id, project, user_ref, user_id, api_key_id, session_id, thread_id,
        tier, provider, model, *tokens, cost_nano, charged_tokens, price_hash, state,
    ) = values  # fmt: skip
    return Past(
        attempt=attempt,
        started_at=started_at,
        tenant_id=tenant_id,
        project_id=project_id,
        project=project,
        user_ref=user_ref,
        user_id=user_id,
        api_key_id=api_key_id,
        session_id=session_id,
        thread_id=thread_id,
        tier=tier,
        provider=provider,
        model=model,
        usage=usage_of(tokens),
        cost_nano=cost_nano,
        charged_tokens=charged_tokens,
        price_hash=price_hash,
        state=state,
    )
