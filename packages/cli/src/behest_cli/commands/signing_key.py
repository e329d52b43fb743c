"""`behest signing-key`: RSA keys with which an app's server signs its users' tokens itself, without a call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from behest_cli import render
from behest_cli.connection import Json, OnlyTenant, Tenant, managed
from behest_cli.errors import CliError

if TYPE_CHECKING:
    from behest_cli.management import Management

app = typer.Typer(help="Signing keys: with one, an app's server signs its users' tokens itself.", no_args_is_help=True)

COLUMNS = {"kid": "Key id", "name": "Name", "tenant_id": "Tenant", "created_at": "Created"}


@app.command("create")
@managed
def create(
    gateway: Management,
    tenant: Tenant = None,
    name: Annotated[str | None, typer.Option("--name", help="What the key is for.")] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key", help="Register this public key (PEM) instead of making a pair.", exists=True, dir_okay=False
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the private key here (mode 600) instead of showing it.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a signing key, and show its private half this once; or register the public half of your own."""
    if out is not None and out.exists():
        raise CliError(f"{out} is there already, and a key is not written over.", hint="Choose another --out.")
    pem = None if public_key is None else public_key.read_text(encoding="utf-8")
    body = {"tenant_id": gateway.tenant_id(tenant), "name": name, "public_key_pem": pem}
    answer = gateway.post("/v1/signing-keys", body)
    private = answer.data.get("private_key_pem")
    if out is not None and private:
        from behest_cli.profiles import write_private

        write_private(out, private)
    if json:
        render.line(answer.text)
        return
    render.fields({heading: answer.data.get(field) for field, heading in COLUMNS.items()})
    if private and out is not None:
        render.note(f"The private key is in {out}, and nowhere else.")
    elif private:
        render.line(private.rstrip())
        render.note("The private key is shown only now. Keep it on your server; never in a browser or a repository.")


@app.command("list")
@managed
def list_(gateway: Management, tenant: OnlyTenant = None, json: Json = False) -> None:
    """List signing keys, by their key ids."""
    answer = gateway.get("/v1/signing-keys", tenant_id=gateway.tenant_id(tenant) if tenant else None)
    if json:
        render.line(answer.text)
        return
    render.table(answer.rows, COLUMNS, empty="There is no signing key. Make one with `behest signing-key create`.")


@app.command("revoke")
@managed
def revoke(
    gateway: Management, kid: Annotated[str, typer.Argument(help="The key id, as `behest signing-key list` shows it.")]
) -> None:
    """Revoke a signing key: tokens signed with it are refused from now on."""
    gateway.delete(f"/v1/signing-keys/{quote(kid, safe='')}")
    render.line(f"Revoked {kid}.")
