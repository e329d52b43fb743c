"""What a provider is told of a stored conversation, and what of a request is new: each message once, in order."""

from __future__ import annotations

from typing import Any

import pytest
from behest_gateway.core.threads import ABORTED, Asked, Conversation, Message, Stored
from behest_gateway.stages.compose.history import Arranged, arrange, brings_history, kept_of
from behest_gateway.stages.record.rules import title_of, turn_of
from hypothesis import given, settings
from hypothesis import strategies as st

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def bot(text: str | None, **more: Any) -> Message:
    return {"role": "assistant", "content": text, **more}


def result(text: str, call: str = "c1") -> Message:
    return {"role": "tool", "tool_call_id": call, "content": text}


def stored(*messages: Message | tuple[Message, str]) -> list[Stored]:
    """Stored messages; an answer's finish reason is `stop` unless it is given."""
    items: list[Stored] = []
    for position, item in enumerate(messages):
        message, reason = item if isinstance(item, tuple) else (item, "stop" if item["role"] == "assistant" else None)
        items.append(Stored(position=position, message=message, finish_reason=reason))
    return items


def arranged(known: list[Stored], *messages: Message, window: int = 20, with_tools: bool = True) -> Arranged:
    return arrange(known, messages, window=window, with_tools=with_tools)


TWO = stored(user("1?"), bot("1."), user("2?"), bot("2."))
ALL_OF_TWO = tuple(item.message for item in TWO)


def test_a_new_message_gets_the_history_before_it() -> None:
    assert arranged(TWO, user("3?")) == Arranged(inject=ALL_OF_TWO, new=(user("3?"),))


def test_a_conversation_begins_without_history() -> None:
    assert arranged([], user("1?")) == Arranged(inject=(), new=(user("1?"),))
    assert arranged([], bot("Hello!"), user("1?")) == Arranged(inject=(), new=(bot("Hello!"), user("1?")))


def test_a_history_that_is_sent_again_is_not_injected_and_only_its_tail_is_new() -> None:
    assert arranged(TWO, *ALL_OF_TWO, user("3?")) == Arranged(inject=(), new=(user("3?"),))


@pytest.mark.parametrize(
    "again",
    [
        [{"id": "m1", "role": "user", "content": "1?", "createdAt": "now"}, bot("1.", id="m2"), user("2?"), bot("2.")],
        [user(" 1? "), bot("1.\n"), user("2?"), bot("2.")],
        [{"role": "user", "content": [{"type": "text", "text": "1"}, {"type": "text", "text": "?"}]}, *ALL_OF_TWO[1:]],
        [{"role": "system", "content": "Be brief."}, *ALL_OF_TWO],
        [*ALL_OF_TWO[:2], {"role": "developer", "content": "Be brief."}, bot(""), *ALL_OF_TWO[2:]],
        [bot("1.", refusal=None, annotations=[], tool_calls=[]) if m["content"] == "1." else m for m in ALL_OF_TWO],
    ],
    ids=["with ids", "other white space", "in parts", "after a system message", "around one", "with empty fields"],
)
def test_a_page_writes_the_same_message_in_its_own_way(again: list[Message]) -> None:
    assert arranged(TWO, *again, user("3?")) == Arranged(inject=(), new=(user("3?"),))


def test_an_end_of_the_history_that_is_sent_again_gets_what_is_before_it() -> None:
    assert arranged(TWO, bot("2."), user("3?")) == Arranged(inject=ALL_OF_TWO[:3], new=(user("3?"),))
    assert arranged(TWO, *ALL_OF_TWO[2:], user("3?")) == Arranged(inject=ALL_OF_TWO[:2], new=(user("3?"),))


def test_a_page_that_remembers_more_than_is_kept_is_recognised() -> None:
    pruned = TWO[2:]

    assert arranged(pruned, *ALL_OF_TWO, user("3?")) == Arranged(inject=(), new=(user("3?"),))


def test_a_history_is_recognised_by_the_end_of_a_thread_that_is_too_long_to_compare_whole() -> None:
    found = arrange(TWO[2:], [*ALL_OF_TWO, user("3?")], window=20, with_tools=True, is_whole=False)

    assert found == Arranged(inject=(), new=(user("3?"),))


def test_a_window_counts_what_the_page_brought_along() -> None:
    assert arranged(TWO, bot("2."), user("3?"), window=3) == Arranged(inject=(user("2?"),), new=(user("3?"),))


def test_several_new_messages_are_all_new() -> None:
    example = (user("Say 7."), bot("7"), user("3?"))

    assert arranged(TWO, *example) == Arranged(inject=ALL_OF_TWO, new=example)


def test_asking_again_replaces_the_answer() -> None:
    assert arranged(TWO, *ALL_OF_TWO[:3]) == Arranged(inject=(), new=(), replaces=(3, 3))


def test_a_changed_question_replaces_what_came_of_the_old_one() -> None:
    known = stored(*ALL_OF_TWO, user("3?"), bot("3."))

    assert arranged(known, *ALL_OF_TWO[:2], user("2b?")) == Arranged(inject=(), new=(user("2b?"),), replaces=(2, 5))


def test_examples_that_begin_every_request_are_no_history() -> None:
    """No provider said them, so that they are the same proves nothing, and nothing is replaced."""
    examples = (user("Say 7."), bot("7"))
    known = [*stored(*[(m, "") for m in examples]), *stored(user("1?"), bot("1."))]
    known = [
        Stored(position=at, message=s.message, finish_reason=s.finish_reason or None) for at, s in enumerate(known)
    ]

    assert arranged(known, *examples, user("2?")).replaces is None


# Answers that were aborted ------------------------------------------------------------------------------------------

BROKEN = stored(user("1?"), (bot("One is the"), ABORTED))


@pytest.mark.parametrize("shown", [[bot("One is the")], [bot("One")], [bot("")], []])
def test_a_page_may_show_less_of_an_aborted_answer(shown: list[Message]) -> None:
    assert arranged(BROKEN, user("1?"), *shown, user("2?")) == Arranged(inject=(), new=(user("2?"),))


def test_an_aborted_answer_is_told_again() -> None:
    assert arranged(BROKEN, user("2?")).inject == (user("1?"), bot("One is the"))


def test_asking_again_replaces_an_aborted_answer() -> None:
    known = stored(user("0?"), bot("0."), user("1?"), (bot("One is the"), ABORTED))

    assert arranged(known, user("0?"), bot("0."), user("1?")) == Arranged(inject=(), new=(), replaces=(3, 3))


# Windows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "expected"),
    [(20, ALL_OF_TWO), (4, ALL_OF_TWO), (3, ALL_OF_TWO[2:]), (2, ALL_OF_TWO[2:]), (1, ALL_OF_TWO[2:]), (0, ())],
)
def test_a_window_holds_whole_turns_and_at_least_the_last(window: int, expected: tuple[Message, ...]) -> None:
    assert arranged(TWO, user("3?"), window=window).inject == expected


def test_a_window_never_begins_with_the_result_of_a_tool() -> None:
    turn = (user("Rome?"), bot(None, tool_calls=[CALL]), result("Sunny"), bot("Sunny."))
    known = stored(*ALL_OF_TWO, *turn)

    assert arranged(known, user("Oslo?"), window=2).inject == turn
    assert arranged(known, user("Oslo?"), window=5).inject == turn


# Tools --------------------------------------------------------------------------------------------------------------

ASKED = stored(user("Rome?"), bot(None, tool_calls=[CALL]))


def test_the_result_of_a_call_may_come_alone() -> None:
    assert arranged(ASKED, result("Sunny"), window=1) == Arranged(
        inject=tuple(item.message for item in ASKED), new=(result("Sunny"),)
    )


def test_the_result_of_a_call_may_come_with_the_call() -> None:
    again = (bot(None, tool_calls=[CALL]), result("Sunny"))

    assert arranged(ASKED, *again) == Arranged(inject=(user("Rome?"),), new=(result("Sunny"),))


def test_a_call_without_a_result_is_not_told_again() -> None:
    assert arranged(ASKED, user("Never mind.")).inject == (user("Rome?"),)
    known = stored(user("Rome?"), bot("Let me see.", tool_calls=[CALL]))
    assert arranged(known, user("Never mind.")).inject == (user("Rome?"), bot("Let me see."))


def test_a_project_that_keeps_no_tool_calls_keeps_no_results_either() -> None:
    turn = (user("Rome?"), bot(None, tool_calls=[CALL]), result("Sunny"))

    assert arranged([], *turn, with_tools=False).new == (user("Rome?"),)
    assert kept_of(bot("Let me see.", tool_calls=[CALL]), with_tools=False) == bot("Let me see.")


def test_a_history_with_tool_calls_is_recognised_where_none_are_kept() -> None:
    known = stored(user("Rome?"), bot("Sunny."))
    again = (user("Rome?"), bot(None, tool_calls=[CALL]), result("Sunny"), bot("Sunny."), user("Oslo?"))

    assert arranged(known, *again, with_tools=False) == Arranged(inject=(), new=(user("Oslo?"),))


def test_a_request_made_to_be_compared_for_ever_is_not() -> None:
    known = stored(user("b"), *[bot("a") for _ in range(4_000)])

    found = arranged(known, *[bot("a") for _ in range(9_000)], user("c"))

    assert found.new


def test_ids_of_calls_that_are_no_text_are_compared_all_the_same() -> None:
    odd = {**CALL, "id": ["c1"]}
    known = stored(user("Rome?"), bot(None, tool_calls=[odd]), {**result("Sunny"), "tool_call_id": ["c1"]})

    assert arranged(known, user("Oslo?")).inject[0] == user("Rome?")


# What is kept of a turn ---------------------------------------------------------------------------------------------


def asked(*messages: Message, with_tools: bool = True) -> Asked:
    conversation = Conversation(
        project_id="p", user_id="u", kind="thread", name="t", tier=None, window=20, with_tools=with_tools
    )
    return Asked(conversation=conversation, ref=None, messages=messages)


def test_a_turn_has_what_was_asked_and_what_was_said() -> None:
    turn = turn_of(asked(user("1?")), bot("1."), "stop")

    assert turn is not None
    assert turn.messages == (
        (b'{"role":"user","content":"1?"}', None),
        (b'{"role":"assistant","content":"1."}', "stop"),
    )
    assert turn.title == "1?"


def test_an_answer_that_was_aborted_before_it_said_anything_makes_no_turn() -> None:
    assert turn_of(asked(user("1?")), None, ABORTED) is None


def test_a_question_is_kept_when_its_answer_came_to_its_end_without_a_word() -> None:
    turn = turn_of(asked(user("1?")), None, "content_filter")

    assert turn is not None
    assert len(turn.messages) == 1


def test_an_answer_that_only_calls_tools_is_not_kept_where_none_are() -> None:
    turn = turn_of(asked(user("Rome?"), with_tools=False), bot(None, tool_calls=[CALL]), "tool_calls")

    assert turn is not None
    assert len(turn.messages) == 1


def test_a_title_is_the_first_question_in_one_line() -> None:
    assert title_of((bot("Hello!"), user("a" * 70))) == "a" * 60
    assert title_of((bot("Hello!"),)) is None


def test_a_request_brings_history_when_it_has_more_than_one_message_besides_instructions() -> None:
    assert not brings_history([{"role": "system", "content": "x"}, user("1?")])
    assert brings_history([bot("1."), user("2?")])


# Any mix of styles --------------------------------------------------------------------------------------------------


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Turns of a conversation: what is said, how it ends, and how the client asks."""
    texts = st.sampled_from(["yes", "no", "why?", "go on", "hello there"])
    turn = st.fixed_dictionaries(
        {
            "question": texts,
            "answer": texts,
            "style": st.sampled_from(["new", "whole", "recent"]),
            "aborted": st.booleans(),
            "shown": st.integers(1, 12),
        }
    )
    return draw(st.lists(turn, min_size=1, max_size=12))


@given(conversations())
@settings(max_examples=300, deadline=None)
def test_whatever_mix_of_styles_a_provider_sees_each_message_once_and_in_order(turns: list[dict[str, Any]]) -> None:
    known: list[Stored] = []
    page: list[Message] = []
    for number, turn in enumerate(turns):
        question = user(f"{number} {turn['question']}")
        brought = {"new": [], "whole": page, "recent": page[-1:]}[turn["style"]]
        sent = [*brought, question]

        found = arrange(known, sent, window=1_000, with_tools=True)

        shown = [*found.inject, *sent]
        said = [item.message for item in known]
        # An aborted answer is told as the page has it, where the page tells it.
        assert len(shown) == len(said) + 1
        for mine, theirs in zip(said, shown, strict=False):
            assert mine["role"] == theirs["role"]
            assert mine["content"].startswith(theirs["content"])
        assert shown[-1] == question
        assert found.new == (question,)
        assert found.replaces is None

        whole = f"{number} {turn['answer']}"
        answer = bot(whole)
        known.append(Stored(position=len(known), message=question))
        known.append(Stored(position=len(known), message=answer, finish_reason=ABORTED if turn["aborted"] else "stop"))
        shown_answer = bot(whole[: turn["shown"]].rstrip()) if turn["aborted"] else answer
        page = [*page, question, shown_answer]
