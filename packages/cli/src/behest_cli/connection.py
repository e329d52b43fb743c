"""Which gateway a command talks to, and as whom: options first, then the environment, then the saved profile.

`@managed` gives a command its connection to the management plane and adds the options that say which; `sdk` builds the
SDK's client for the commands that chat, mint and read usage.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

from behest_cli import profiles
from behest_cli.errors import CliError, UsageError, no_gateway_at

if TYPE_CHECKING:
    from behest import Behest

    from behest_cli.management import Management

P = ParamSpec("P")

BaseUrl = Annotated[
    str | None,
    typer.Option("--base-url", envvar="BEHEST_BASE_URL", help="The gateway, like http://localhost:8080."),
]
AdminToken = Annotated[
    str | None,
    typer.Option("--admin-token", envvar="BEHEST_ADMIN_TOKEN", help="The operator's secret.", show_default=False),
]
ProfileName = Annotated[
    str, typer.Option("--profile", envvar="BEHEST_PROFILE", help="Which saved profile fills in what is not given.")
]
Project = Annotated[
    str | None,
    typer.Option("--project", "-p", envvar="BEHEST_PROJECT_ID", help="The project's id or slug."),
]
Tenant = Annotated[
    str | None, typer.Option("--tenant", "-t", envvar="BEHEST_TENANT_ID", help="The tenant's id or name.")
]
OnlyTenant = Annotated[str | None, typer.Option("--tenant", "-t", help="Only what belongs to this tenant.")]
Key = Annotated[
    str | None,
    typer.Option("--key", envvar="BEHEST_KEY", help="The project's API key, or a private signing key."),
]
User = Annotated[str, typer.Option("--user", "-u", envvar="BEHEST_USER_ID", help="Whose token is used.")]
Json = Annotated[bool, typer.Option("--json", help="Print exactly what the gateway answered.")]


def managed(command: Callable[Concatenate[Management, P], None]) -> Callable[..., None]:
    """Turn a function that takes a `Management` first into a command with `--base-url`, `--admin-token`, `--profile`.

    Raises:
        CliError: The address or the secret is missing.
    """

    @functools.wraps(command)
    def run(*args: Any, base_url: str | None, admin_token: str | None, profile: str, **options: Any) -> None:
        with management(base_url, admin_token, profile) as gateway:
            command(gateway, *args, **options)

    shown = inspect.signature(command, eval_str=True, locals={"Management": Any})
    shared = [
        _keyword("base_url", BaseUrl, None),
        _keyword("admin_token", AdminToken, None),
        _keyword("profile", ProfileName, "default"),
    ]
    own = [given.replace(kind=inspect.Parameter.KEYWORD_ONLY) for given in list(shown.parameters.values())[1:]]
    run.__signature__ = shown.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
    run.__annotations__ = {given.name: given.annotation for given in [*own, *shared]} | {"return": None}
    del run.__wrapped__
    return run


def management(base_url: str | None, admin_token: str | None, profile_name: str) -> Management:
    """Connect to the management plane.

    Raises:
        CliError: The address or the secret is missing.
    """
    from behest_cli.management import Management, check_base_url

    profile = profiles.load(profile_name)
    address = check_base_url(_address(base_url, profile))
    token = admin_token or profile.admin_token
    if not token:
        raise UsageError(
            "The operator's secret is missing.",
            hint="Set BEHEST_ADMIN_TOKEN to what `behest gateway` printed at its first start, or save it once with "
            "`behest profile save --admin-token …`.",
        )
    return Management(base_url=address, token=token, tenant=profile.tenant, project=profile.project)


@contextmanager
def sdk(base_url: str | None, key: str | None, profile_name: str) -> Generator[Behest, None, None]:
    """Open the SDK's client, and say its errors as a command does.

    Raises:
        CliError: The address or the key is missing, nothing answers, or the gateway refuses.
    """
    import httpx
    from behest import Behest, BehestConfigError, BehestError

    from behest_cli.management import check_base_url, connectable

    profile = profiles.load(profile_name)
    address = check_base_url(_address(base_url, profile))
    secret = key or profile.key
    if not secret:
        raise UsageError(
            "The project's API key is missing.",
            hint="Set BEHEST_KEY to one that `behest key create` printed, or save it once with "
            "`behest profile save --key …`.",
        )
    try:
        with Behest(key=secret, base_url=connectable(address)) as behest:
            yield behest
    except BehestConfigError as error:
        raise UsageError(str(error)) from error
    except BehestError as error:
        if isinstance(error.__cause__, httpx.ConnectError):
            raise no_gateway_at(address) from error
        raise CliError(_told(error), hint=_next_step(error)) from error


def _told(error: Any) -> str:
    code = f" ({error.code})" if error.code else ""
    return f"The gateway refused: {error}{code}"


def _next_step(error: Any) -> str | None:
    if error.status == 401:
        return "Check BEHEST_KEY; `behest key list` says which keys the project has, `behest key create` makes one."
    if error.status == 402:
        if error.details.get("window") == "lifetime":
            return f"`behest budget top-up {error.details.get('budget_id')}` adds to this prepaid budget."
        return "`behest budget list` shows the limits, `behest budget set` raises one."
    if error.status == 429 and error.retry_after:
        return f"Try again in {error.retry_after} seconds."
    return f"The gateway's log tells more about trace {error.trace_id}." if error.trace_id else None


def _address(given: str | None, profile: profiles.Profile) -> str:
    address = given or profile.base_url
    if not address:
        raise UsageError(
            "Which gateway? There is no address.",
            hint="Set BEHEST_BASE_URL (http://localhost:8080 for `behest dev`), pass --base-url, or save it once with "
            "`behest profile save --base-url …`.",
        )
    return address


def _keyword(name: str, annotation: Any, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
