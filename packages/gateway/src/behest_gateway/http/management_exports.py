"""Usage as a file, over the management plane: streamed, so that its length does not matter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from behest_gateway.control.exporting import Format
from behest_gateway.http.management_services import REFUSALS, AskedQuery, By, Services

router = APIRouter(prefix="/v1", responses=REFUSALS)


class _InParts(Response):
    """Sends bytes as they are made. Whoever runs it ends it when the caller hangs up."""

    media_type = "text/csv"

    def __init__(self, parts: AsyncIterator[bytes], *, filename: str) -> None:
        super().__init__(headers={"content-disposition": f'attachment; filename="{filename}"'})
        del self.headers["content-length"]
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for part in self._parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@router.get(
    "/projects/{project_id}/usage.csv",
    tags=["usage"],
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "The file"}},
)
async def export_usage(
    by: By,
    services: Services,
    project_id: str,
    asked: AskedQuery,
    form: Annotated[Format, Query(alias="format", description="A line per attempt, or FOCUS 1.4 by the day")] = "csv",
) -> Response:
    """Give what a project used as a file: each attempt, or each meter of each day as a charge of FOCUS 1.4."""
    parts = services.exports.open(by, project_id, asked, form)
    return _InParts(parts, filename="usage.csv" if form == "csv" else "usage.focus.csv")
