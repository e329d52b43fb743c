"""`behest-ai` 1.5.0b1 from the package index works unmodified, with an API key and with a signing key."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from behest_protocol.money import usd_from_nano

from ..conftest import NewWorld
from ..support.world import World
from .client import Client


def with_key(world: World, **config: Any) -> dict[str, Any]:
    """In API-key mode: every call mints first."""
    return {"base_url": world.gateway.base_url, "key": world.api_key, "default_user_id": world.user, **config}


def signing(world: World, **config: Any) -> dict[str, Any]:
    """In sign mode: tokens are made without a call."""
    return {
        "base_url": world.gateway.base_url,
        "key": f"behest_pk_{world.tenant.private_pem}",
        "kid": world.tenant.kid,
        "tenant_id": world.tenant.id,
        "project_id": world.project_id,
        "default_user_id": world.user,
        **config,
    }


MODES = {"apiKey": with_key, "sign": signing}


@pytest.fixture(params=MODES, ids=["with an API key", "with a signing key"])
def mode(request: pytest.FixtureRequest) -> str:
    """The SDK's name of a mode."""
    name: str = request.param
    return name


def text_of(chunks: list[dict[str, Any]]) -> str:
    """The text of a stream."""
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


def test_it_is_the_published_sdk_in_an_environment_of_its_own(behest_ai: Client) -> None:
    found = behest_ai.run("version")

    assert (found["version"], found["distribution"]) == ("1.5.0b1", "1.5.0b1")
    assert "interop-behest-ai" in found["file"]


def test_a_token_is_minted_with_everything_that_was_asked_for(behest_ai: Client, world: World, mode: str) -> None:
    before = int(time.time())
    asked = {"user_id": "u_42", "session_id": "s-1", "ttl": 900, "tier": 2, "role": "user"}

    minted = behest_ai.run("mint", **MODES[mode](world), mint=asked)

    claims = minted["claims"]
    assert minted["session_id"] == minted["last_session_id"] == claims["sid"] == "s-1"
    assert minted["ttl"] == claims["exp"] - claims["iat"] == 900
    assert before + 900 <= minted["expires_at"] <= time.time() + 901
    assert (claims["tid"], claims["pid"], claims["uid"]) == (world.tenant.id, world.project_id, "u_42")
    assert (claims["role"], claims["tier"], claims["aud"], claims["scp"]) == ("user", 2, "behest", [])
    issuers = {"apiKey": "https://api.behest.app", "sign": "https://api.behest.ai"}
    assert claims["iss"] == issuers[mode]
    assert world.client.get("/v1/usage", headers={"Authorization": f"Bearer {minted['token']}"}).status_code == 200


def test_a_token_is_minted_when_nothing_is_asked_for(behest_ai: Client, world: World, mode: str) -> None:
    config = MODES[mode](world)
    del config["default_user_id"]

    minted = behest_ai.run("mint", **config)

    assert (minted["claims"]["uid"], minted["ttl"]) == ("default", 3600)
    assert uuid.UUID(minted["session_id"]).version == 4
    assert "tier" not in minted["claims"]


def test_the_deprecated_way_to_mint_has_its_old_names(behest_ai: Client, world: World, mode: str) -> None:
    minted = behest_ai.run("mint_old", **MODES[mode](world), user_id="u_1")

    assert (minted["session_id"], minted["sessionId"], minted["ttl"]) == ("s-old", "s-old", 3600)
    assert minted["token"] == minted["access_token"]


def test_an_answer_comes_whole(behest_ai: Client, world: World, mode: str) -> None:
    world.script({"reply": "Grüße aus dem All."})

    completion = behest_ai.run("whole", **MODES[mode](world), fields={"tier": 3, "session_id": "s-9"})

    [row], [billed] = world.rows(), world.bill()
    assert completion["choices"][0]["message"]["content"] == "Grüße aus dem All."
    assert completion["model"] == "gpt-4o-mini"
    assert (row.user_id, row.session_id, row.tier) == (world.user, "s-9", "max")
    assert (row.cost_nano, row.state) == (billed.cost_nano, "settled")
    assert completion["usage"]["completion_tokens"] == row.output_tokens


def test_a_call_for_another_user_is_attributed_to_them(behest_ai: Client, world: World, mode: str) -> None:
    behest_ai.run("whole", **MODES[mode](world), fields={"user_id": "u_77"})

    assert [row.user_id for row in world.rows()] == ["u_77"]


def test_an_answer_comes_as_a_stream(behest_ai: Client, world: World, mode: str) -> None:
    world.script({"reply": "One word after the other.", "token_delay_ms": 1})

    chunks = behest_ai.run("stream", **MODES[mode](world))

    [row], [billed] = world.rows(), world.bill()
    assert text_of(chunks) == "One word after the other."
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert (row.cost_nano, row.state, row.stream) == (billed.cost_nano, "settled", True)


def test_letting_go_of_a_stream_ends_the_providers_work_and_settles(behest_ai: Client, world: World, mode: str) -> None:
    world.budget(1)
    world.script({"completion_tokens": 2000, "token_delay_ms": 5})

    text = behest_ai.run("abort", **MODES[mode](world), enough=20)

    [billed], [row] = world.bill(), world.rows()
    assert len(text) >= 20
    assert (billed.state, row.state, row.status) == ("closed_by_client", "estimated", 499)
    assert billed.cost_nano <= row.cost_nano < row.hold_nano
    assert world.holds() == {}


def test_one_token_serves_a_conversation(behest_ai: Client, world: World, mode: str) -> None:
    world.script({"reply": "Yes."})

    said = behest_ai.run("conversation", **MODES[mode](world), mint={"session_id": "s-3"}, texts=["One?", "Two?"])

    assert said == ["Yes.", "Yes."]
    assert [row.session_id for row in world.rows()] == ["s-3", "s-3"]


def test_usage_says_what_was_used_for_times_in_any_zone(behest_ai: Client, world: World, mode: str) -> None:
    world.chat()
    now = datetime.now(UTC)
    span = {"from_": (now - timedelta(days=1)).isoformat(), "to": (now + timedelta(days=1)).isoformat()}
    ago = {"from_": "2026-01-01T00:00:00+05:30", "to": "2026-01-02T00:00:00+05:30"}

    always = behest_ai.run("usage", **MODES[mode](world))
    within = behest_ai.run("usage", **MODES[mode](world), usage={**span, "granularity": "hour"})
    before = behest_ai.run("usage", **MODES[mode](world), usage=ago)

    [row] = world.rows()
    tokens, cost = row.input_tokens + row.output_tokens, usd_from_nano(row.cost_nano)
    for usage in (always, within):
        assert (usage["totals"]["tokens"], usage["totals"]["cost_usd"]) == (tokens, cost)
        assert [(line["tokens"], line["cost_usd"]) for line in usage["breakdown"]] == [(tokens, cost)]
    assert (before["totals"]["tokens"], before["breakdown"]) == (0, [])


def test_usage_of_oneself_may_be_asked_for_by_name_and_of_others_may_not(
    behest_ai: Client, world: World, mode: str
) -> None:
    mine = behest_ai.run("usage", **MODES[mode](world), usage={"user_id": world.user})
    told = behest_ai.run("usage_error", **MODES[mode](world), usage={"user_id": "somebody-else"})

    assert mine["totals"]["requests"] == 0
    assert (told["class"], told["status"], told["code"]) == ("BehestAuthError", 403, "forbidden")


def test_a_users_threads_are_listed_read_and_deleted(behest_ai: Client, world: World, mode: str) -> None:
    world.script({"reply": "Yes."})
    asked = {"messages": [{"role": "user", "content": "One?"}]}
    headers = {**world.bearer(), "X-Thread-Id": "t:1"}
    assert world.client.post("/v1/chat/completions", json=asked, headers=headers).status_code == 200

    seen = behest_ai.run("threads", **MODES[mode](world), thread="t:1")

    assert [(thread["id"], thread["title"]) for thread in seen["listed"]] == [("t:1", "One?")]
    assert (seen["found"], seen["found"]["messages_count"]) == (seen["listed"][0], 2)
    assert [(m["role"], m["content"]) for m in seen["messages"]] == [("user", "One?"), ("assistant", "Yes.")]
    assert (seen["deleted"], seen["left"]) == (None, [])


@pytest.mark.parametrize(("thread", "status"), [("nothing", 404), ("a b/c", 400)])
def test_a_thread_that_is_not_there_is_an_error(
    behest_ai: Client, world: World, mode: str, thread: str, status: int
) -> None:
    told = behest_ai.run("thread_error", **MODES[mode](world), thread=thread)

    assert (told["class"], told["status"]) == ("BehestError" if status == 404 else "BehestBadRequestError", status)


# Errors are typed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", ["mint_error", "chat_error", "stream_error", "usage_error"])
def test_a_revoked_api_key_is_an_auth_error(behest_ai: Client, world: World, scenario: str) -> None:
    config = with_key(world)
    world.manage("DELETE", f"/keys/{world.api_key_id}")

    told = behest_ai.run(scenario, **config)

    assert (told["class"], told["status"], told["code"]) == ("BehestAuthError", 401, "invalid_token")
    assert "revoked" in told["message"]
    assert told["trace_id"] == told["raw"]["trace_id"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kid": "sk_" + "0" * 32}, "kid"),
        ({"tenant_id": "nobody"}, "tenant"),
        ({"project_id": "nothing"}, "project"),
        ({"issuer": "https://evil.example.com"}, "issuer"),
        ({"audience": "somebody-else"}, "audience"),
        ({"ttl": 100_000}, "ttl"),
        ({"ttl": -100}, "expired"),
        ({"default_user_id": "admin"}, "uid"),
    ],
)
@pytest.mark.parametrize("scenario", ["chat_error", "stream_error", "usage_error"])
def test_a_token_that_was_signed_wrongly_is_an_auth_error(
    behest_ai: Client, world: World, scenario: str, changes: dict[str, Any], reason: str
) -> None:
    told = behest_ai.run(scenario, **signing(world, **changes))

    assert (told["class"], told["status"], told["code"]) == ("BehestAuthError", 401, "invalid_token")
    assert told["raw"]["error"]["details"] == {"reason": reason}
    assert world.bill() == []


def test_a_revoked_signing_key_is_an_auth_error(behest_ai: Client, world: World) -> None:
    key = world.gateway.manage("POST", "/v1/signing-keys", {"tenant_id": world.tenant.id})
    config = signing(world, key=f"behest_pk_{key['private_key_pem']}", kid=key["kid"])
    behest_ai.run("whole", **config)
    world.gateway.manage("DELETE", f"/v1/signing-keys/{key['kid']}")

    told = behest_ai.run("chat_error", **config)

    assert (told["class"], told["status"]) == ("BehestAuthError", 401)


@pytest.mark.parametrize("scenario", ["chat_error", "stream_error"])
@pytest.mark.parametrize(("scope", "code"), [("each_user", "quota_exceeded"), ("project", "budget_exceeded")])
def test_a_used_up_budget_is_a_quota_error(
    behest_ai: Client, world: World, mode: str, scenario: str, scope: str, code: str
) -> None:
    budget_id = world.budget(0, scope=scope)

    told = behest_ai.run(scenario, **MODES[mode](world))

    details = told["raw"]["error"]["details"]
    assert (told["class"], told["status"], told["code"]) == ("BehestQuotaError", 402, code)
    assert told["trace_id"] == told["raw"]["trace_id"]
    assert (details["budget_id"], details["scope"], details["limit_usd"]) == (budget_id, scope, 0)
    assert [(row.state, row.status) for row in world.rows()] == [("refused", 402)]


@pytest.mark.parametrize("scenario", ["chat_error", "stream_error"])
def test_a_rate_is_a_rate_limit_error_with_whole_seconds_to_wait(
    behest_ai: Client, new_world: NewWorld, mode: str, scenario: str
) -> None:
    world = new_world(rpm_limit=1000, user_rpm_limit=1)
    behest_ai.run("whole", **MODES[mode](world))

    told = behest_ai.run(scenario, **MODES[mode](world))

    assert (told["class"], told["status"], told["code"]) == ("BehestRateLimitError", 429, "rate_limited")
    assert 50 <= told["retry_after"] <= 60


@pytest.mark.parametrize("scenario", ["chat_error", "stream_error"])
def test_a_bad_request_is_a_bad_request_error(behest_ai: Client, world: World, mode: str, scenario: str) -> None:
    told = behest_ai.run(scenario, **MODES[mode](world), fields={"model": "no-such-model"})

    assert (told["class"], told["status"], told["code"]) == ("BehestBadRequestError", 400, "validation_error")
    assert "no-such-model" in told["message"]


@pytest.mark.parametrize("scenario", ["chat_error", "stream_error"])
def test_a_failing_provider_is_a_server_error(behest_ai: Client, world: World, mode: str, scenario: str) -> None:
    world.script({"fault": {"kind": "status", "status": 500}})

    told = behest_ai.run(scenario, **MODES[mode](world))

    assert (told["class"], told["status"], told["code"]) == ("BehestServerError", 502, "upstream_error")


def test_a_stream_that_fails_on_its_way_yields_an_error_frame_and_ends(
    behest_ai: Client, world: World, mode: str
) -> None:
    world.script({"reply": "One two three four.", "token_delay_ms": 20, "fault": {"kind": "cut", "after_tokens": 2}})

    *good, last = behest_ai.run("stream", **MODES[mode](world))

    assert text_of(good) == "One two"
    assert (last["error"]["code"], last["error"]["type"], last["choices"]) == ("upstream_error", "upstream_error", [])


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"user_id": "admin"}, "reserved"),
        ({"ttl": 59}, "between 60 and 86400"),
        ({"ttl": 86_401}, "between 60 and 86400"),
        ({"tier": 9}, "tier is one of"),
        ({"role": "emperor"}, "role is one of"),
    ],
)
def test_a_mint_that_asks_for_too_much_is_a_bad_request_error(
    behest_ai: Client, world: World, asked: dict[str, Any], says: str
) -> None:
    told = behest_ai.run("mint_error", **with_key(world), mint=asked)

    assert (told["class"], told["status"], told["code"]) == ("BehestBadRequestError", 400, "validation_error")
    assert says in told["message"]


def test_a_role_above_the_keys_is_an_auth_error(behest_ai: Client, world: World) -> None:
    told = behest_ai.run("mint_error", **with_key(world), mint={"role": "admin"})

    assert (told["class"], told["status"], told["code"]) == ("BehestAuthError", 403, "forbidden")


def test_a_suspended_project_is_an_auth_error_in_both_modes(behest_ai: Client, world: World) -> None:
    config = with_key(world)
    world.manage("POST", "/suspend")

    minting = behest_ai.run("chat_error", **config)
    calling = behest_ai.run("chat_error", **signing(world))

    assert (minting["class"], minting["status"]) == ("BehestAuthError", 401)
    assert (calling["class"], calling["status"], calling["code"]) == ("BehestAuthError", 403, "forbidden")


# Keys and the environment ------------------------------------------------------------------------------------------


def test_a_private_key_works_in_both_of_the_ways_that_this_sdk_reads(behest_ai: Client, world: World) -> None:
    world.script({"reply": "Signed."})
    config = signing(world, pem=world.tenant.private_pem)

    assert behest_ai.run("encodings", **config) == {"prefixed": "Signed.", "base64": "Signed."}


def test_everything_may_come_from_the_environment(behest_ai: Client, world: World, mode: str) -> None:
    world.script({"reply": "From the environment."})
    variables = {
        "BEHEST_KEY": world.api_key,
        "BEHEST_BASE_URL": world.gateway.base_url + "/",
        "BEHEST_USER_ID": world.user,
        "BEHEST_TTL": "900",
        "BEHEST_TIER": "1",
    }
    if mode == "sign":
        variables |= {
            "BEHEST_KEY": f"behest_pk_{world.tenant.private_pem}",
            "BEHEST_KID": world.tenant.kid,
            "BEHEST_TENANT_ID": world.tenant.id,
            "BEHEST_PROJECT_ID": world.project_id,
        }

    found = behest_ai.run("from_environment", environment=variables)

    assert found == {"mode": mode, "text": "From the environment."}
    assert [(row.user_id, row.tier) for row in world.rows()] == [(world.user, "free")]


def test_a_base_url_that_ends_in_v1_works_as_well(behest_ai: Client, world: World, mode: str) -> None:
    config = {**MODES[mode](world), "base_url": f"{world.gateway.base_url}/v1"}

    assert behest_ai.run("whole", **config)["object"] == "chat.completion"
    assert behest_ai.run("usage", **config)["totals"]["requests"] == 1


def test_the_signing_client_of_before_works(behest_ai: Client, world: World) -> None:
    world.script({"reply": "As ever."})
    config = signing(world, pem=world.tenant.private_pem, user_id=world.user)
    config["base_url"] += "/v1"

    assert behest_ai.run("signing_client", **config) == {"whole": "As ever.", "streamed": "As ever."}
    assert [(row.user_id, row.session_id, row.tier) for row in world.rows()] == [(world.user, None, None)] * 2


def test_the_key_client_of_before_is_told_to_mint(behest_ai: Client, world: World) -> None:
    told = behest_ai.run("key_client", key=world.api_key, base_url=f"{world.gateway.base_url}/v1")

    assert (told["class"], told["old_class"]) == ("AuthenticationError", "AuthenticationError")
    assert "POST /v1/auth/mint" in told["message"]
    assert "POST /v1/auth/mint" in told["old_message"]
    assert told["old_code"] == "invalid_token"
    assert told["old_request_id"]
