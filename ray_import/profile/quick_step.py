"""The step that makes a first profile of a sample of the user's messages, while the facts are not there yet."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ray_import.profile.fencing import new_mark
from ray_import.profile.model import Reply
from ray_import.profile.plan import MAX_ATTEMPTS
from ray_import.profile.quick import QuickSample, quick_prompt
from ray_import.profile.report import NEVER_SENT
from ray_import.profile.requests import SENT_AGAIN, Question, RequestLog
from ray_import.profile.sections import SECTIONS_SCHEMA, checked_quick
from ray_import.profile.versions import save_version, sections_of
from ray_import.sink.profiles import RequestKind, StoredRequest

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
        """See `Step.settle`."""
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
        """See `Step.give_up`."""
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
