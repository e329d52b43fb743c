"""From tenant to chat, as a person at a terminal goes."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import jwt
from behest_cli.dev import Ready
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .calling import Behest


def test_a_newcomer_walks_from_tenant_to_chat(behest: Behest, operator: Behest, ready: Ready) -> None:
    tenant = operator("tenant", "create", "Acme", "--json").json
    project = operator("project", "create", "Shop", "--tenant", "Acme", "--rpm", "30", "--json").json
    key = operator("key", "create", "--project", project["slug"], "--name", "server", "--json").json
    server: dict[str, Any] = {"BEHEST_BASE_URL": ready["base_url"], "BEHEST_KEY": key["key"]}
    token = behest("token", "mint", "--user", "ada", **server).out.strip()
    claims = jwt.decode(token, options={"verify_signature": False})
    answer = behest("chat", "Say hello", "--user", "ada", **server)

    assert (project["tenant_id"], project["settings"]["rpm_limit"], key["role"]) == (tenant["id"], 30, "user")
    assert (claims["tid"], claims["pid"], claims["uid"]) == (tenant["id"], project["id"], "ada")
    assert "Say hello" in answer.out
    assert "This cost $0.0000" in answer.err


def test_every_rate_can_be_chosen_when_a_project_is_made(operator: Behest) -> None:
    tenant = operator("tenant", "create", "Rates", "--json").json
    chosen = {
        name: number
        for number, name in enumerate(
            (
                "rpm_limit", "user_rpm_limit", "key_rpm_limit", "tpm_limit", "user_tpm_limit", "key_tpm_limit",
                "max_concurrent", "user_max_concurrent", "key_max_concurrent",
            ),
            start=50,
        )
    }  # fmt: skip
    flags = [
        word
        for name, value in chosen.items()
        for word in ("--" + name.removesuffix("_limit").replace("_", "-"), str(value))
    ]

    project = operator("project", "create", "Limited", "--tenant", tenant["id"], *flags, "--json").json

    assert {name: project["settings"][name] for name in chosen} == chosen


def test_tables_show_what_json_holds(operator: Behest, project: dict[str, Any]) -> None:
    listed = operator("project", "list")
    shown = operator("project", "show", project["slug"])
    exact = operator("project", "show", project["id"], "--json")

    assert all(project[field] in listed.out for field in ("id", "slug", "name"))
    assert "gpt-4o-mini" in shown.out
    assert exact.json == project


def test_an_api_key_is_shown_once_and_mints_no_more_after_it_is_revoked(
    operator: Behest, server: Behest, project: dict[str, Any], api_key: str
) -> None:
    made = operator("key", "create", "--project", project["id"])
    listed = operator("key", "list", "--project", project["id"])
    (mine,) = [
        key
        for key in operator("key", "list", "--project", project["id"], "--json").json["data"]
        if key["last4"] == api_key[-4:]
    ]
    operator("key", "revoke", mine["id"], "--project", project["id"])
    refused = server("token", "mint", "--user", "ada", code=1)

    assert made.out.splitlines()[-1].startswith("behest_sk_live_")
    assert "shown only now" in made.err
    assert "behest_sk_live_" not in listed.out
    assert "(invalid_token)" in refused.err
    assert "behest key create" in refused.err
    assert api_key not in refused.err


def test_a_signing_key_is_made_listed_and_revoked(operator: Behest, ready: Ready, tmp_path: Path) -> None:
    tenant = ("--tenant", ready["tenant_id"])
    file = tmp_path / "signing.pem"
    made = operator("signing-key", "create", *tenant, "--out", str(file), "--json").json
    shown = operator("signing-key", "create", *tenant)
    operator("signing-key", "revoke", made["kid"])
    listed = operator("signing-key", "list", *tenant).out

    assert file.read_text() == made["private_key_pem"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "BEGIN PRIVATE KEY" in shown.out
    assert made["kid"] not in listed
    assert ready["signing_key"]["kid"] in listed


def test_a_private_key_is_not_written_over_another(operator: Behest, ready: Ready, tmp_path: Path) -> None:
    file = tmp_path / "signing.pem"
    file.write_text("mine")
    refused = operator("signing-key", "create", "--tenant", ready["tenant_id"], "--out", str(file), code=1)

    assert "is there already" in refused.err
    assert file.read_text() == "mine"


def test_a_public_key_is_registered_and_nothing_private_comes_back(operator: Behest, tmp_path: Path) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    file = tmp_path / "public.pem"
    file.write_bytes(public)
    tenant = operator("tenant", "create", "Signs by itself", "--json").json
    made = operator("signing-key", "create", "--tenant", tenant["id"], "--public-key", str(file), "--json").json

    assert made["public_key_pem"].strip() == public.decode().strip()
    assert not made.get("private_key_pem")


def test_a_token_carries_what_was_asked_for(server: Behest) -> None:
    minted = server("token", "mint", "-u", "ada", "--ttl", "120", "--tier", "2", "--session", "s_1", "--json").json
    claims = jwt.decode(minted["token"], options={"verify_signature": False})

    assert (minted["ttl"], minted["session_id"]) == (120, "s_1")
    assert (claims["uid"], claims["tier"], claims["sid"]) == ("ada", 2, "s_1")


def test_chat_reads_what_to_say_from_standard_input(server: Behest, monkeypatch: Any) -> None:
    import io
    import sys

    monkeypatch.setattr(sys, "stdin", io.StringIO("Tell me about tides"))
    assert "Tell me about tides" in server("chat", "-", "--user", "ada").out


def test_chat_json_is_the_completion_as_the_gateway_sent_it(server: Behest) -> None:
    completion = server("chat", "Say hello", "--user", "ada", "--system", "Be brief", "--json").json

    assert completion["object"] == "chat.completion"
    assert completion["usage"]["cost_usd"] > 0


def test_chat_says_when_an_answer_was_cut(server: Behest) -> None:
    answer = server("chat", "Say hello", "--max-tokens", "20")

    assert "was cut" in answer.err
    assert "This cost" in answer.err


def test_usage_shows_what_a_user_spent_and_no_other_user(server: Behest) -> None:
    server("chat", "Say hello", "--user", "ada")
    report = server("usage", "--user", "ada", "--json").json
    shown = server("usage", "--user", "ada").out
    other = server("usage", "--user", "bob", "--json").json

    assert (report["totals"]["requests"], len(report["breakdown"])) == (1, 1)
    assert "ada" in shown
    assert f"{report['totals']['tokens']:,}" in shown
    assert other["totals"]["requests"] == 0
