"""What of a user's messages is to be sent: the units without an answer."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ray_import.chunks.rows import MessageRow
from ray_import.destinations.profiles import ProfileConversation, ProfileStore, StoredUnit
from ray_import.profile.cutting import Titled, cut, has_words, hold_all, unit_tag, units_by_id
from ray_import.profile.settings import tokens_of
from ray_import.profile.units import Unit

MAX_ATTEMPTS = 3
"""A unit whose requests have failed so often is not sent again."""

FINAL_REASONS = frozenset({"refused"})
"""A unit that failed for one of these is not sent again."""

Key = tuple[str, str]
"""Product and conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRef:
    """A unit without its lines. `tokens` is what it takes in a prompt."""

    id: str
    product: str
    conversation_id: str
    content_hash: str
    title: str = field(repr=False)
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """A conversation with new units: it has changed, or is asked about by another model or prompt.

    The facts of its `# new` units stay until none of `waiting` (ids) is left. A new unit is waited for until it is
    answered, or, where the messages are others by now, until it is not sent again: what was said of the old messages
    does not stay for ever. `answered` are the new units that are.
    """

    old: tuple[str, ...]
    waiting: tuple[str, ...]
    answered: tuple[StoredUnit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPlan:
    """What a run has to do, without any text.

    `dropped`: ids of units of which nothing is true any more, because their conversation is gone or the user says
    nothing in it, or that have no facts. `replacements`: what takes the place of other units. `kept`: ids of units of a
    conversation that was written anew with the same messages, and its new hash. `without_messages`: conversations
    imported without them. `user_tokens`: what the user wrote, in the conversations that were read for the plan.
    """

    to_send: tuple[UnitRef, ...]
    dropped: tuple[str, ...]
    replacements: tuple[Replacement, ...]
    kept: tuple[tuple[tuple[str, ...], str], ...]
    without_messages: int
    user_tokens: int


@dataclass
class _Planning:
    to_send: list[UnitRef] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    replacements: list[Replacement] = field(default_factory=list)
    kept: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    user_tokens: int = 0


def plan_units(store: ProfileStore, user_id: str, model: str) -> UnitPlan:
    """The plan for this model. It reads the messages of conversations that have changed, or whose units have not all
    been answered, one conversation at a time."""
    rows = defaultdict[Key, list[StoredUnit]](list)
    for row in store.units(user_id):
        rows[row.product, row.conversation_id].append(row)
    conversations = {_key(conversation): conversation for conversation in store.profile_conversations(user_id)}
    planning = _Planning()
    for key in sorted(rows.keys() - conversations.keys()):
        planning.dropped += [row.id for row in rows[key]]
    to_read = [
        conversation
        for key, conversation in conversations.items()
        if conversation.has_messages and not _is_done(conversation, rows.get(key, []), model)
    ]
    split = {row.id for of_one in rows.values() for row in of_one if row.state == "split"}
    read = store.messages_of(user_id, [_key(conversation) for conversation in to_read])
    for conversation, messages in zip(to_read, read, strict=True):
        _plan_conversation(planning, conversation, messages, rows.get(_key(conversation), []), split, model)
    return UnitPlan(
        to_send=tuple(planning.to_send),
        dropped=tuple(planning.dropped),
        replacements=tuple(planning.replacements),
        kept=tuple(planning.kept),
        without_messages=sum(not conversation.has_messages for conversation in conversations.values()),
        user_tokens=planning.user_tokens,
    )


def is_settled(unit: StoredUnit) -> bool:
    """Whether the unit is not to be sent (again)."""
    return unit.state != "failed" or unit.reason in FINAL_REASONS or unit.attempts >= MAX_ATTEMPTS


def load_units(store: ProfileStore, user_id: str, model: str, refs: Sequence[UnitRef]) -> list[Unit]:
    """The units with their lines, those of one conversation together. A unit is left out where its conversation was
    written anew since the plan: the next plan finds it."""
    return list(stream_units(store, user_id, model, refs))


def stream_units(store: ProfileStore, user_id: str, model: str, refs: Sequence[UnitRef]) -> Iterator[Unit]:
    """As `load_units`, with one conversation in memory at a time. Each conversation is read once, so that all units of
    a plan are loaded in linear time."""
    wanted = defaultdict[Key, dict[str, UnitRef]](dict)
    for ref in refs:
        wanted[_key(ref)][ref.id] = ref
    for units, messages in zip(wanted.values(), store.messages_of(user_id, list(wanted)), strict=True):
        yield from units_by_id(next(iter(units.values())), messages, model, units)


def _plan_conversation(
    planning: _Planning, conversation: ProfileConversation, messages: Sequence[MessageRow],
    rows: Sequence[StoredUnit], split: set[str], model: str,
) -> None:  # fmt: skip
    if not has_words(messages):
        planning.dropped += [row.id for row in rows]
        return
    units, split_ids = cut(conversation, messages, model, split)
    known = {row.id: row for row in rows}
    planning.to_send += [_ref(unit) for unit in units if unit.id not in known or not is_settled(known[unit.id])]
    planning.user_tokens += sum(tokens_of(message.text) for message in messages if message.role == "user")
    current = {*(unit.id for unit in units), *split_ids}
    old = [row for row in rows if row.id not in current]
    if any(row.state == "answered" for row in old):
        planning.replacements.append(_replacement(old, units, known, conversation.content_hash))
    else:
        planning.dropped += [row.id for row in old]
    moved = tuple(row.id for row in rows if row.id in current and row.content_hash != conversation.content_hash)
    if moved:
        planning.kept.append((moved, conversation.content_hash))


def _replacement(
    old: Sequence[StoredUnit], units: Sequence[Unit], known: Mapping[str, StoredUnit], content_hash: str
) -> Replacement:
    is_still_true = any(row.state == "answered" and row.content_hash == content_hash for row in old)
    answered = {unit.id: known[unit.id] for unit in units if unit.id in known and known[unit.id].state == "answered"}
    waiting = [unit.id for unit in units if unit.id not in answered]
    if not is_still_true:
        waiting = [unit_id for unit_id in waiting if unit_id not in known or not is_settled(known[unit_id])]
    return Replacement(old=tuple(row.id for row in old), waiting=tuple(waiting), answered=tuple(answered.values()))


def _is_done(conversation: ProfileConversation, rows: Sequence[StoredUnit], model: str) -> bool:
    """Whether nothing is to be sent or dropped of a conversation, by its rows alone: they are of these messages, of
    this model and prompt, and together hold all messages."""
    tag = unit_tag(model)
    for row in rows:
        if row.content_hash != conversation.content_hash or not row.id.startswith(tag) or not is_settled(row):
            return False
    return hold_all((row.id for row in rows if row.state != "split"), conversation.message_count)


def _key(conversation: Titled) -> Key:
    return conversation.product, conversation.conversation_id


def _ref(unit: Unit) -> UnitRef:
    return UnitRef(
        id=unit.id, product=unit.product, conversation_id=unit.conversation_id, content_hash=unit.content_hash,
        title=unit.title, tokens=unit.tokens,
    )  # fmt: skip
