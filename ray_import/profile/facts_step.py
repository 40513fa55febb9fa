"""The step that sends units and stores the facts of the answers."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from ray_import.destinations.profiles import ProfileStore, RequestKind, StoredRequest, StoredUnit, UnitState
from ray_import.profile.checking import checked_facts
from ray_import.profile.facts_prompt import facts_prompt
from ray_import.profile.fencing import new_mark
from ray_import.profile.model import Prompt, Reply
from ray_import.profile.packing import Pack, packs_of
from ray_import.profile.plan import FINAL_REASONS, MAX_ATTEMPTS, UnitPlan, UnitRef, is_settled, load_units, plan_units
from ray_import.profile.replacing import Replacing
from ray_import.profile.requests import SENT_AGAIN, Question, RequestLog
from ray_import.profile.settings import MAX_EXPIRED
from ray_import.profile.units import Line, Unit

SLICE_TOKENS = 300_000
"""So much text, about 1 MB, or one conversation, is in memory before it is packed."""

GONE = "gone"
"""The role of lines that stand in for a unit that is not there any more: no user has said them."""


class FactsStep:
    """Keeps the plan of a run, and which units it has given up for now. See `requests.Step`."""

    kind: RequestKind = "facts"

    def __init__(self, log: RequestLog) -> None:
        self._log = log
        self._packs: dict[str, Pack] = {}
        self._refs: dict[str, UnitRef] = {}
        self._replacing = Replacing(log)
        self._given_up: set[str] = set()
        self._unanswered = Counter[str]()
        self._attempts = {unit.id: unit.attempts for unit in log.store.units(log.user_id) if unit.state == "failed"}

    def plan(self) -> UnitPlan:
        """Plans anew, and deletes what is gone or was replaced. Holds no text."""
        store, user_id = self._log.store, self._log.user_id
        plan = plan_units(store, user_id, self._log.model)
        if plan.dropped:
            store.drop_units(user_id, plan.dropped)
            self._log.report.dropped_units += len(plan.dropped)
        self._replacing.plan(plan.replacements)
        for unit_ids, content_hash in plan.kept:
            store.keep_units(user_id, unit_ids, content_hash)
        self._refs = {ref.id: ref for ref in plan.to_send}
        return plan

    @property
    def left(self) -> list[UnitRef]:
        """What this run has still to send, of the last plan."""
        return [ref for ref in self._refs.values() if ref.id not in self._given_up]

    @property
    def without_answer(self) -> int:
        """Units of the last plan that have no answer."""
        return len(self._refs)

    def failed_for_good(self) -> int:
        """Units that have no answer and are not sent again."""
        units, old = self._log.store.units(self._log.user_id), self._replacing.old
        return sum(unit.state == "failed" and is_settled(unit) and unit.id not in old for unit in units)

    def questions(self, left: Sequence[UnitRef]) -> Iterator[Question]:
        """The requests for these units, each made when it is asked for. A pack whose answer was cut off is halved."""
        for pack in self._packs_of(left):
            unit_ids = [unit.id for unit in pack.units]
            mark = new_mark()
            context = {"lines": [len(unit.lines) for unit in pack.units]}
            request = self._log.new("facts", unit_ids=unit_ids, mark=mark, context=context)
            self._packs[request.id] = pack
            yield Question(request, facts_prompt(pack, custom_id=request.id, mark=mark, model=self._log.model))

    def load(self, requests: Sequence[StoredRequest]) -> None:
        wanted = {unit_id for request in requests for unit_id in request.unit_ids}
        units: dict[str, Unit] = {}
        for refs in slices([ref for ref in self._refs.values() if ref.id in wanted]):
            units.update((unit.id, unit) for unit in self._load(refs))
        self._packs = {request.id: _pack_again(request, units) for request in requests}

    def settle(self, request: StoredRequest, reply: Reply) -> None:
        pack = self._packs.pop(request.id)
        units = [unit for unit in pack.units if unit.conversation_id]
        if reply.reason == "cut_off":
            self._cut_off(request, reply, units)
        elif reply.reason in SENT_AGAIN:
            self._log.failed(request, reply.reason, reply)
            self._not_read(request.unit_ids)
        elif reply.reason or reply.text is None:
            self._failed(request, reply, units, reply.reason or "no_text")
        else:
            found = checked_facts(reply.text, pack, self._log.user_id)
            if found.off_schema:
                self._failed(request, reply, units, "off_schema")
                return
            stored = [_stored(unit, request, "answered") for unit in units]
            facts, result, replaced = self._replacing.answered(units, found.facts)
            self._log.answered(
                request,
                reply,
                units=stored,
                facts=facts,
                replaced=replaced,
                rejected=dict(found.rejected),
                result=result,
            )
            self._log.report.new_units += len(stored)

    def give_up(self, request: StoredRequest) -> None:
        self._packs.pop(request.id, None)
        self._not_read(request.unit_ids)

    def _not_read(self, unit_ids: Sequence[str]) -> None:
        self._unanswered.update(unit_ids)
        self._given_up.update(unit_id for unit_id in unit_ids if self._unanswered[unit_id] >= MAX_EXPIRED)

    def _cut_off(self, request: StoredRequest, reply: Reply, units: Sequence[Unit]) -> None:
        """Of several units the next round sends each half; a single one becomes two units, if it has two lines."""
        if len(request.unit_ids) > 1:
            self._log.failed(request, "cut_off", reply)
            return
        if units and len(units[0].lines) > 1:
            split = [_stored(unit, request, "split", "cut_off") for unit in units]
            self._log.failed(request, "cut_off", reply, units=split)
            return
        self._failed(request, reply, units, "cut_off", is_final=True)

    def _failed(
        self, request: StoredRequest, reply: Reply, units: Sequence[Unit], reason: str, *, is_final: bool = False
    ) -> None:
        stored = []
        for unit in units:
            attempts = self._attempts.get(unit.id, 0) + 1
            if is_final or reason in FINAL_REASONS:
                attempts = MAX_ATTEMPTS
            stored.append(_stored(unit, request, "failed", reason, attempts))
        self._log.failed(request, reason, reply, units=stored)
        self._given_up.update(request.unit_ids)

    def _packs_of(self, left: Sequence[UnitRef]) -> Iterator[Pack]:
        halves = self._halves(left)
        whole = [ref for ref in left if ref.id not in halves]
        yield from packs_of(unit for refs in slices(whole) for unit in self._load(refs))
        parts: dict[int, list[UnitRef]] = {}
        for ref in left:
            if ref.id in halves:
                parts.setdefault(halves[ref.id], []).append(ref)
        for refs in parts.values():
            yield from packs_of(self._load(refs))

    def _halves(self, left: Sequence[UnitRef]) -> dict[str, int]:
        """For each unit of a pack that was cut off, the number of the half that it is in: of the smallest such pack."""
        wanted = {ref.id for ref in left}
        cut_off = [
            request.unit_ids
            for request in self._log.store.requests(self._log.user_id, ("failed",))
            if request.reason == "cut_off" and len(request.unit_ids) > 1 and wanted.intersection(request.unit_ids)
        ]
        halves: dict[str, int] = {}
        for number, unit_ids in enumerate(sorted(cut_off, key=len, reverse=True)):
            middle = (len(unit_ids) + 1) // 2
            for index, unit_id in enumerate(unit_ids):
                if unit_id in wanted:
                    halves[unit_id] = 2 * number + (index >= middle)
        return halves

    def _load(self, refs: Sequence[UnitRef]) -> list[Unit]:
        return load_units(self._log.store, self._log.user_id, self._log.model, refs)


def prompts_of(store: ProfileStore, user_id: str, model: str, refs: Sequence[UnitRef]) -> Iterator[Prompt]:
    """What would be sent for these units, each made when it is asked for."""
    for pack in packs_of(unit for part in slices(refs) for unit in load_units(store, user_id, model, part)):
        yield facts_prompt(pack, custom_id="counted", mark=new_mark(), model=model)


def slices(refs: Sequence[UnitRef]) -> Iterator[list[UnitRef]]:
    """Whole conversations, of SLICE_TOKENS at most, or one that is larger."""
    found: list[UnitRef] = []
    tokens = 0
    for _, group in groupby(refs, key=lambda ref: (ref.product, ref.conversation_id)):
        conversation = list(group)
        size = sum(ref.tokens for ref in conversation)
        if found and tokens + size > SLICE_TOKENS:
            yield found
            found, tokens = [], 0
        found.extend(conversation)
        tokens += size
    if found:
        yield found


def _pack_again(request: StoredRequest, units: Mapping[str, Unit]) -> Pack:
    """The pack of a request, with its lines under the same numbers; lines that nobody has said in the place of a unit
    that is gone."""
    lines = (request.result or {}).get("lines") or []
    counts = dict(zip(request.unit_ids, lines, strict=False))
    return Pack(tuple(units.get(unit_id) or _gone(unit_id, counts.get(unit_id, 0)) for unit_id in request.unit_ids))


def _gone(unit_id: str, lines: int) -> Unit:
    line = Line(node_id="", position=0, role=GONE, created_at=None, text="")
    return Unit(id=unit_id, product="", conversation_id="", content_hash="", title="", tokens=0, lines=(line,) * lines)


def _stored(unit: Unit, request: StoredRequest, state: UnitState, reason: str = "", attempts: int = 1) -> StoredUnit:
    return StoredUnit(
        id=unit.id,
        product=unit.product,
        conversation_id=unit.conversation_id,
        content_hash=unit.content_hash,
        state=state,
        reason=reason,
        attempts=attempts,
        request_id=request.id,
    )
