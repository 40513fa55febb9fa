"""The quick pass: one request over a sample of at most 60,000 tokens, taken evenly over the user's time.

It holds the user's own words alone. The one part of the answer that code cannot check, the identity, is made up, and
nobody else is to make it up. All sizes are those after cutting.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from ray_import.chunks.rows import MessageRow
from ray_import.destinations.profiles import ProfileConversation, ProfileStore, RequestKind, StoredRequest
from ray_import.profile.facts_prompt import overhead_tokens, prompt_of
from ray_import.profile.fencing import fenced, line_bytes, new_mark
from ray_import.profile.model import Prompt, Reply
from ray_import.profile.plan import MAX_ATTEMPTS
from ray_import.profile.report import NEVER_SENT
from ray_import.profile.requests import SENT_AGAIN, Question, RequestLog
from ray_import.profile.sections import SECTIONS_SCHEMA, checked_quick
from ray_import.profile.settings import bytes_of_tokens
from ray_import.profile.units import Line
from ray_import.profile.versions import save_version, sections_of

QUICK_TOKENS = 60_000
"""The most that the request takes, instructions and schema included."""

QUICK_OUTPUT_TOKENS = 16_000
PERIODS = 48
"""The user's time is divided into so many equal periods; each gives as much as the others while it can."""

MESSAGE_CHARACTERS = 1_200
"""A message of the sample is cut off here."""

MOST_MESSAGES = 6_000
"""Conversations are read until they hold so many messages, of which one conversation counts MOST_OF_ONE at most."""
MOST_OF_ONE = 200

_FENCE_TOKENS = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickSample:
    """`lines` are the user's, numbered from 1 in the prompt; `conversations` (product, id) is where each one comes
    from."""

    prompt: Prompt
    lines: tuple[Line, ...]
    conversations: tuple[tuple[str, str], ...]


class _Candidate(NamedTuple):
    key: tuple[str, str]
    seconds: float
    line: Line


def quick_prompt(
    store: ProfileStore, user_id: str, *, custom_id: str, mark: str, model: str, schema: dict[str, Any]
) -> QuickSample | None:
    """The request for a first profile. `schema` is that of the sections. None where the user wrote nothing."""
    budget = bytes_of_tokens(QUICK_TOKENS - overhead_tokens("quick", schema) - _FENCE_TOKENS)
    lines = _chosen(_candidates(store, user_id), budget)
    if not lines:
        return None
    text = f"{fenced([(None, [line for _, line in lines])], mark)}\nDescribe this person."
    return QuickSample(
        prompt=prompt_of("quick", text, schema, QUICK_OUTPUT_TOKENS, custom_id=custom_id, model=model),
        lines=tuple(line for _, line in lines),
        conversations=tuple(key for key, _ in lines),
    )


def _chosen(candidates: Sequence[_Candidate], budget: int) -> list[tuple[tuple[str, str], Line]]:
    """As many as there is room for, in order of time."""
    chosen = list[_Candidate]()
    for found in _in_turn(candidates, [candidate.seconds for candidate in candidates]):
        size = line_bytes(found.line)
        if size <= budget:
            budget -= size
            chosen.append(found)
    chosen.sort(key=lambda found: (found.seconds, found.key, found.line.position))
    return [(found.key, found.line) for found in chosen]


def _candidates(store: ProfileStore, user_id: str) -> list[_Candidate]:
    """Messages of the user, from conversations of all their time."""
    conversations = _to_read(store.profile_conversations(user_id))
    keys = [(conversation.product, conversation.conversation_id) for conversation in conversations]
    found = list[_Candidate]()
    for conversation, messages in zip(conversations, store.messages_of(user_id, keys), strict=True):
        found += _of_conversation(conversation, messages)
    return found


def _to_read(conversations: Iterable[ProfileConversation]) -> list[ProfileConversation]:
    found = [conversation for conversation in conversations if conversation.has_messages and conversation.message_count]
    chosen, messages = list[ProfileConversation](), 0
    for conversation in _in_turn(found, [_seconds(one.create_time or one.update_time) for one in found]):
        chosen.append(conversation)
        messages += min(conversation.message_count, MOST_OF_ONE)
        if messages >= MOST_MESSAGES:
            break
    return chosen


def _of_conversation(conversation: ProfileConversation, messages: Sequence[MessageRow]) -> Iterator[_Candidate]:
    of_user = [i for i, message in enumerate(messages) if message.role == "user" and message.text.strip()]
    for i in _spread(of_user)[:MOST_OF_ONE]:
        yield _Candidate(
            key=(conversation.product, conversation.conversation_id),
            seconds=_seconds(messages[i].created_at or conversation.create_time),
            line=_line(messages[i]),
        )


def _line(message: MessageRow) -> Line:
    text = message.text
    return Line(
        node_id=message.node_id,
        position=message.position,
        role=message.role,
        created_at=message.created_at,
        text=text if len(text) <= MESSAGE_CHARACTERS else text[:MESSAGE_CHARACTERS].rstrip() + " …",
    )


def _in_turn(items: Sequence[T], seconds: Sequence[float]) -> Iterator[T]:
    """One of each period in turn, within a period evenly over it. Those without a time (0) count to the first one."""
    dated = [second for second in seconds if second]
    begin, end = min(dated, default=0.0), max(dated, default=0.0)
    periods = defaultdict[int, list[T]](list)
    for index in sorted(range(len(items)), key=lambda index: seconds[index]):
        share = (max(seconds[index], begin) - begin) / ((end - begin) or 1.0)
        periods[min(int(share * PERIODS), PERIODS - 1)].append(items[index])
    in_order = [_spread(periods[period]) for period in sorted(periods)]
    for turn in range(max(map(len, in_order), default=0)):
        yield from (period[turn] for period in in_order if turn < len(period))


def _spread(items: Sequence[T]) -> list[T]:
    """The items in such an order that the first ones, however many, lie evenly over all of them."""
    bits = max(len(items) - 1, 1).bit_length()
    return [items[i] for i in sorted(range(len(items)), key=lambda i: int(f"{i:0{bits}b}"[::-1], 2))]


def _seconds(time: str | None) -> float:
    return datetime.fromisoformat(time).timestamp() if time else 0.0


SAYS_NOTHING = SENT_AGAIN | NEVER_SENT | {"model_away", "model_refused", "changed"}
"""Reasons for which a request has failed that say nothing of the request: it is made again, however often."""


class QuickStep:
    """One request, once for a user. See `requests.Step`."""

    kind: RequestKind = "quick"

    def __init__(self, log: RequestLog) -> None:
        self._log = log
        self._samples: dict[str, QuickSample] = {}

    def questions(self) -> Iterator[Question]:
        """The request, unless its answer is stored, it has failed too often, or the user has said nothing."""
        asked = [one for one in self._log.store.requests(self._log.user_id) if one.kind == self.kind]
        failed = sum(one.state == "failed" and one.reason not in SAYS_NOTHING for one in asked)
        if failed >= MAX_ATTEMPTS or any(one.state == "answered" for one in asked):
            return
        request = self._log.new("quick", mark=new_mark())
        sample = self._sample(request)
        if sample is not None:
            self._samples[request.id] = sample
            yield Question(replace(request, result={"sample": _digest(sample)}), sample.prompt)

    def load(self, requests: Sequence[StoredRequest]) -> None:
        """See `Step.load`. A sample that is another one by now is not loaded."""
        made = [(request, self._sample(request)) for request in requests]
        self._samples = {
            request.id: sample
            for request, sample in made
            if sample is not None and (request.result or {}).get("sample") == _digest(sample)
        }

    def settle(self, request: StoredRequest, reply: Reply) -> None:
        sample = self._samples.pop(request.id, None)
        if reply.reason or reply.text is None:
            self._log.failed(request, reply.reason or "no_text", reply)
        elif sample is None:
            self._log.failed(request, "changed", reply)
        else:
            sections, rejected = checked_quick(reply.text, sample.lines, sample.conversations)
            if sections is None:
                self._log.failed(request, "off_schema", reply)
            else:
                self._log.answered(request, reply, rejected=dict(rejected), result={"sections": sections})

    def give_up(self, request: StoredRequest) -> None:
        self._samples.pop(request.id, None)

    def save_version(self) -> bool:
        """Makes a version of the stored answer. False where there is none."""
        found = [one for one in self._log.store.requests(self._log.user_id, ("answered",)) if one.kind == self.kind]
        if found:
            save_version(self._log, sections_of(found[-1]), found[-1].model, "quick", ())
        return bool(found)

    def _sample(self, request: StoredRequest) -> QuickSample | None:
        return quick_prompt(
            self._log.store,
            self._log.user_id,
            custom_id=request.id,
            mark=request.mark,
            model=request.model,
            schema=SECTIONS_SCHEMA,
        )


def _digest(sample: QuickSample) -> str:
    """Of what was shown under which number."""
    return hashlib.sha256(sample.prompt.text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
