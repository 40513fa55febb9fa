"""The step that makes the sections of a profile of the user's facts."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ray_import.profile.fencing import new_mark
from ray_import.profile.merging import facts_hash
from ray_import.profile.model import Reply
from ray_import.profile.requests import Question, RequestLog
from ray_import.profile.sections import checked_sections, sections_prompt
from ray_import.profile.units import PROMPT_VERSION
from ray_import.profile.versions import save_version, sections_of
from ray_import.sink.profiles import Fact, RequestKind, StoredRequest


class SectionsStep:
    """One request whenever the active facts have changed. See `requests.Step`."""

    kind: RequestKind = "sections"

    def __init__(self, log: RequestLog) -> None:
        self._log = log

    def is_due(self) -> bool:
        """Whether the newest full version is of other facts than those of now, or of another model or prompt. Without
        facts no version is needed, unless there is one that still says something."""
        facts = self._active()
        full = [one for one in self._log.store.versions_of(self._log.user_id) if one.kind == "full"]
        if not facts:
            return bool(full) and full[0].facts_hash != facts_hash(())
        return not full or (full[0].facts_hash, full[0].model, full[0].prompt_version) != (
            facts_hash(facts),
            self._log.model,
            PROMPT_VERSION,
        )

    def questions(self) -> Iterator[Question]:
        """The request, unless there are no facts, or one about the same facts is answered."""
        facts = self._active()
        if not facts or self._answer_about(facts) is not None:
            return
        request = self._log.new("sections", mark=new_mark())
        prompt, shown = sections_prompt(facts, custom_id=request.id, mark=request.mark, model=request.model)
        context = {"facts_hash": facts_hash(facts), "facts": [fact.id for fact in shown]}
        yield Question(replace(request, result=context), prompt)

    def load(self, requests: Sequence[StoredRequest]) -> None:
        """See `Step.load`: the row names the facts."""

    def settle(self, request: StoredRequest, reply: Reply) -> None:
        """See `Step.settle`."""
        if reply.reason or reply.text is None:
            self._log.failed(request, reply.reason or "no_text", reply)
            return
        context = request.result or {}
        sections, rejected = checked_sections(reply.text, context.get("facts") or [])
        if sections is None:
            self._log.failed(request, "off_schema", reply)
            return
        result = {"sections": sections, "facts_hash": context.get("facts_hash")}
        self._log.answered(request, reply, rejected=dict(rejected), result=result)

    def give_up(self, request: StoredRequest) -> None:
        """See `Step.give_up`."""

    def save_version(self) -> bool:
        """Makes a version of the stored answer about the facts of now; an empty one without facts. False where there is
        no such answer."""
        facts = self._active()
        answer = self._answer_about(facts) if facts else None
        if facts and answer is None:
            return False
        save_version(self._log, sections_of(answer) if answer else {}, self._log.model, "full", facts)
        return True

    def _active(self) -> list[Fact]:
        return [fact for fact in self._log.store.facts(self._log.user_id) if fact.status == "active"]

    def _answer_about(self, facts: Sequence[Fact]) -> StoredRequest | None:
        wanted = facts_hash(facts)
        for request in reversed(self._log.store.requests(self._log.user_id, ("answered",))):
            of_these = (request.result or {}).get("facts_hash") == wanted
            if request.kind == self.kind and request.model == self._log.model and of_these:
                return request
        return None
