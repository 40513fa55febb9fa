"""The step that finds which facts say the same, and which contradict each other."""

from collections.abc import Sequence

from ray_import.profile.fencing import new_mark
from ray_import.profile.merge_prompt import Pair, checked_merge, decisions_of, merge_packs, merge_prompt
from ray_import.profile.merging import Merged, changed_facts, merged
from ray_import.profile.model import Reply
from ray_import.profile.requests import Question, RequestLog
from ray_import.profile.settings import MERGE_ROUNDS, MERGE_TOKENS
from ray_import.sink.profiles import RequestKind, StoredRequest


class MergeStep:
    """Merges what is stored, and asks about pairs that code cannot decide, each once. See `requests.Step`."""

    kind: RequestKind = "merge"

    def __init__(self, log: RequestLog) -> None:
        self._log = log
        self._asked: set[Pair] = set()
        self._tokens = 0
        self._rounds = 0

    def merge(self) -> Merged:
        """Stores what the facts come to by the decisions so far."""
        facts = self._log.store.facts(self._log.user_id)
        decisions = decisions_of(self._log.store.requests(self._log.user_id, ("answered",)))
        found = merged(facts, decisions)
        changed = changed_facts(facts, found.facts)
        if changed:
            self._log.store.update_facts(self._log.user_id, changed)
        self._log.report.unclear = len(found.unclear)
        return found

    def questions(self, found: Merged) -> list[Question]:
        """The requests about what is unclear and was not asked in this run, the most urgent first, as far as the tokens
        of a run go."""
        if self._rounds >= MERGE_ROUNDS:
            return []
        self._rounds += 1
        facts = {fact.id: fact for fact in found.facts}
        questions = []
        for pairs in merge_packs((pair for pair in found.unclear if pair not in self._asked), facts):
            request = self._log.new("merge", mark=new_mark(), context={"pairs": [list(pair) for pair in pairs]})
            prompt = merge_prompt(pairs, facts, custom_id=request.id, mark=request.mark, model=request.model)
            if self._tokens + prompt.input_tokens > MERGE_TOKENS:
                break
            self._tokens += prompt.input_tokens
            self._asked.update(pairs)
            questions.append(Question(request, prompt))
        return questions

    def load(self, requests: Sequence[StoredRequest]) -> None:
        """See `Step.load`: the row names the pairs."""

    def settle(self, request: StoredRequest, reply: Reply) -> None:
        """See `Step.settle`."""
        if reply.reason or reply.text is None:
            self._log.failed(request, reply.reason or "no_text", reply)
            return
        pairs = [(one, other) for one, other in (request.result or {}).get("pairs", ())]
        result, rejected = checked_merge(reply.text, pairs)
        if result is None:
            self._log.failed(request, "off_schema", reply)
        else:
            self._log.answered(request, reply, rejected=dict(rejected), result=result)

    def give_up(self, request: StoredRequest) -> None:
        """See `Step.give_up`."""
