"""Ready-made metadata, already serialised: most of an export's bytes, and too dear to build per message."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import orjson
from orjson import Fragment

from tests.support.synthetic.citations import lenticular_answer, private_use_answer
from tests.support.synthetic.prose import Prose

VARIANTS = 400  # more than deflate's window of 32 KB can see repeated
MODELS = ("gpt-4", "gpt-4o", "gpt-4o-mini", "o3", "gpt-5", "gpt-5-thinking")
Metadata = dict[str, object]
CitedAnswer = tuple[str, Fragment]  # text with marks, and the metadata that belongs to it


@dataclass(frozen=True, slots=True)
class Stock:
    """Metadata by kind of message; every field has several hundred variants that differ in their ids."""

    user: tuple[Fragment, ...]
    with_files: tuple[Fragment, ...]
    assistant: tuple[Fragment, ...]
    call: tuple[Fragment, ...]
    result: tuple[Fragment, ...]
    hidden: tuple[Fragment, ...]
    thinking: tuple[Fragment, ...]
    execution: tuple[Fragment, ...]
    voice: tuple[Fragment, ...]
    searched: tuple[CitedAnswer, ...]  # U+E200 marks
    browsed: tuple[CitedAnswer, ...]  # lenticular marks


def lay_in_stock(rng: Random, prose: Prose) -> Stock:
    """Metadata whose texts come from `prose`."""

    def variants(build: Callable[[Random], Metadata]) -> tuple[Fragment, ...]:
        return tuple(Fragment(orjson.dumps(build(rng))) for _ in range(VARIANTS))

    def cited(write: Callable[[Random, Prose], tuple[str, Metadata]]) -> tuple[CitedAnswer, ...]:
        drafts = [write(rng, prose) for _ in range(VARIANTS)]
        return tuple((text, Fragment(orjson.dumps(_assistant(rng) | found))) for text, found in drafts)

    return Stock(
        user=variants(_user),
        with_files=variants(
            lambda rng: _user(rng) | {"attachments": [_attachment(rng) for _ in range(rng.randint(1, 3))]}
        ),
        assistant=variants(_assistant),
        call=variants(lambda rng: _assistant(rng) | {"reasoning_status": "is_reasoning", "search_queries": []}),
        result=variants(lambda rng: _turn(rng) | {"command": "search", "status": "finished", "model_slug": "gpt-4o"}),
        hidden=variants(lambda rng: _turn(rng) | HIDDEN | {"rebase_system_message": True}),
        thinking=variants(lambda rng: _assistant(rng) | {"reasoning_title": "Working", "reasoning_group_id": _id(rng)}),
        execution=variants(lambda rng: _turn(rng) | {"aggregate_result": _execution(rng, prose)}),
        voice=variants(lambda rng: _turn(rng) | {"voice_mode_message": True, "real_time_audio_has_video": False}),
        searched=cited(private_use_answer),
        browsed=cited(lenticular_answer),
    )


HIDDEN: Metadata = {"is_visually_hidden_from_conversation": True}


def custom_instructions(prose: Prose) -> Fragment:
    """Metadata of the hidden message that holds what a person told the assistant about themselves."""
    told = {"about_user_message": prose.paragraphs[0], "about_model_message": prose.paragraphs[1]}
    return Fragment(orjson.dumps(HIDDEN | {"user_context_message_data": told, "is_user_system_message": True}))


def _id(rng: Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


# In real files the messages of a turn share ids, which deflate finds; so do messages that draw from few.
FEW_IDS = tuple(_id(Random(number)) for number in range(12))


def _turn(rng: Random) -> Metadata:
    return {
        "request_id": _id(rng),
        "message_source": None,
        "turn_exchange_id": rng.choice(FEW_IDS),
        "timestamp_": "absolute",
        "message_type": "next",
        "can_save": True,
    }


def _user(rng: Random) -> Metadata:
    repositories = {"selected_github_repos": [], "selected_all_github_repos": False, "selected_sources": []}
    return repositories | {"serialization_metadata": {"custom_symbol_offsets": []}} | _turn(rng)


def _assistant(rng: Random) -> Metadata:
    model = rng.choice(MODELS)
    return {
        "finish_details": {"type": "stop", "stop_tokens": [200002]},
        "is_complete": True,
        "citations": [],
        "content_references": [],
        "model_slug": model,
        "default_model_slug": model,
        "parent_id": rng.choice(FEW_IDS),
        "model_adjustments": [],
        "safe_urls": [],
        **_turn(rng),
    }


def _attachment(rng: Random) -> Metadata:
    name = f"report-{rng.randrange(10_000)}.pdf"
    return {
        "id": f"file-{rng.getrandbits(120):x}",
        "name": name,
        "size": rng.randrange(10**7),
        "mime_type": "application/pdf",
    }


def _execution(rng: Random, prose: Prose) -> Metadata:
    printed = rng.choice(prose.paragraphs)
    return {
        "status": "success",
        "run_id": _id(rng),
        "code": f"print({printed[:80]!r})",
        "messages": [{"message_type": "stream", "stream_name": "stdout", "text": printed, "time": rng.random()}],
        "jupyter_messages": [
            {"msg_type": "status", "content": {"execution_state": state}} for state in ("busy", "idle")
        ],
        "final_expression_output": None,
        "in_kernel_exception": None,
        "system_exception": None,
    }
