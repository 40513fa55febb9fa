"""A model in memory, whose answers and failures a test sets."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace

from ray_import.errors import ModelBusy, ModelOutcomeUnknown, ModelRejected
from ray_import.profile.model import BatchInfo, Prompt, Reply, Usage

USAGE = Usage(input_tokens=100, output_tokens=10)


def answered(text: str = "{}") -> Reply:
    return Reply(text=text, stop_reason="end_turn", reason="", usage=USAGE)


def prompt(custom_id: str) -> Prompt:
    return Prompt(
        custom_id=custom_id, model="m", system="s", text=f"[1] user: {custom_id}", schema={}, max_output_tokens=100,
        input_tokens=100,
    )  # fmt: skip


@dataclass(kw_only=True)
class MemoryModel:
    """`lose_answers` of create calls: the batch is made, its answer is lost. `looks` is how often a batch is looked at
    before it has ended. A batch with a request that is `bad` (by custom id) is refused. `cut_results` of downloads
    break off after the first result. `leave_out` has no results."""

    answer: Callable[[Prompt], Reply] = field(default=lambda _: answered())
    lose_answers: int = 0
    lose_requests: int = 0
    bad: Callable[[str], bool] = field(default=lambda _: False)
    busy: int = 0
    looks: int = 0
    cut_results: int = 0
    leave_out: set[str] = field(default_factory=set)
    batches: dict[str, list[Prompt]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    canceled: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    async def ask(self, prompt: Prompt) -> Reply:
        self.asked.append(prompt.custom_id)
        return self.answer(prompt)

    async def count_tokens(self, prompt: Prompt) -> int:
        return prompt.input_tokens

    async def create_batch(self, prompts: Sequence[Prompt]) -> BatchInfo:
        if self.busy:
            self.busy -= 1
            raise ModelBusy("It is busy.")
        if self.lose_requests:
            self.lose_requests -= 1
            raise ModelOutcomeUnknown("The connection was lost.")
        if any(self.bad(prompt.custom_id) for prompt in prompts):
            raise ModelRejected("The batch is refused.")
        name = f"batch-{len(self.batches) + 1}"
        self.batches[name] = list(prompts)
        if self.lose_answers:
            self.lose_answers -= 1
            raise ModelOutcomeUnknown("The connection was lost.")
        return self._info(name)

    async def batches_since(self, created_at: str) -> list[BatchInfo]:
        assert created_at.endswith("Z")
        return [await self._looked_at(name) for name in self.batches]

    async def batch(self, batch_id: str) -> BatchInfo | None:
        return await self._looked_at(batch_id) if batch_id in self.batches else None

    async def results(self, batch_id: str) -> AsyncIterator[tuple[str, Reply]]:
        for number, prompt in enumerate(reversed(self.batches[batch_id])):
            if number and self.cut_results:
                self.cut_results -= 1
                raise ModelBusy("The connection was lost.")
            if prompt.custom_id not in self.leave_out:
                yield prompt.custom_id, self.answer(prompt)

    async def cancel_batch(self, batch_id: str) -> None:
        self.canceled.append(batch_id)

    async def delete_batch(self, batch_id: str) -> None:
        self.deleted.append(batch_id)
        del self.batches[batch_id]

    async def close(self) -> None:
        pass

    async def _looked_at(self, name: str) -> BatchInfo:
        info = self._info(name)
        self.looks = max(0, self.looks - 1)
        return info

    def _info(self, name: str) -> BatchInfo:
        info = BatchInfo(id=name, status="ended", count=len(self.batches[name]), created_at="2026-05-01T10:00:00Z")
        return replace(info, status="in_progress") if self.looks else info
