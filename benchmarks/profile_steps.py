"""The CPU and memory that the steps of one user's profile take, for `benchmarks.profile`."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.profile import facts_step, merge_questions
from ray_import.profile.cost import CostLimit, cost_usd
from ray_import.profile.lease import Heartbeats, Holder
from ray_import.profile.model import Model, Prompt, Reply, Usage
from ray_import.profile.run import Calls, run_profile
from ray_import.profile.settings import IN_FLIGHT, ProfileSettings
from tests.support.model_api.dials import Dials
from tests.support.model_api.oracle import answer_to

USER = "ada"
Figures = dict[str, Any]


class Oracle:
    """The fake API's model in this process. `cpu_seconds` is what it took itself."""

    def __init__(self) -> None:
        self.cpu_seconds = 0.0
        self._dials = Dials()

    async def ask(self, prompt: Prompt) -> Reply:
        """Answers truthfully."""
        began = time.thread_time()
        text, _ = answer_to(prompt.schema, prompt.text, self._dials)
        self.cpu_seconds += time.thread_time() - began
        usage = Usage(input_tokens=prompt.input_tokens, output_tokens=len(text) // 3)
        return Reply(text=text, stop_reason="end_turn", reason="", usage=usage)


class Stopwatch:
    """CPU seconds of functions, by name."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, measured."""

        def call(*args: Any, **options: Any) -> Any:
            began = time.thread_time()
            try:
                return function(*args, **options)
            finally:
                self.seconds[name] += time.thread_time() - began

        return call

    def timed_iterator(self, name: str, function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """The function whose iterator is measured, each step of it."""

        def call(*args: Any, **options: Any) -> Iterator[Any]:
            found = function(*args, **options)
            step = self.timed(name, lambda: next(found, None))
            while (item := step()) is not None:
                yield item

        return call


@contextmanager
def measured_steps() -> Iterator[Stopwatch]:
    """Measures planning, packing, checking and merging, of the runs of this process."""
    watch = Stopwatch()
    questions = facts_step.FactsStep.questions
    with ExitStack() as stack:
        for module, name, step in (
            (facts_step, "plan_units", "plan"),
            (facts_step, "checked_facts", "check"),
            (merge_questions, "merged", "merge"),
        ):
            stack.enter_context(patch.object(module, name, watch.timed(step, getattr(module, name))))
        stack.enter_context(patch.object(facts_step.FactsStep, "questions", watch.timed_iterator("pack", questions)))
        yield watch


def figures_of_user(path: Path, megabytes: float) -> Figures:
    """A whole run by direct calls. For a process of its own: its peak memory is among the figures."""
    oracle = Oracle()
    calls = Calls(
        asker=oracle, slots=asyncio.Semaphore(IN_FLIGHT), model=cast("Model", oracle), limit=CostLimit(), price=cost_usd
    )
    before = _peak_mb()
    with measured_steps() as watch, closing(SqliteSink(path, create=False)) as sink:
        began = time.process_time()
        holder = Holder("benchmark/0/0", lambda _: False)
        heartbeats = Heartbeats(lambda: SqliteSink(path, create=False), holder)
        report = asyncio.run(run_profile(sink, USER, ProfileSettings(), calls, holder, heartbeats))
        whole = time.process_time() - began - oracle.cpu_seconds
    steps = {f"{name}_cpu_s": round(watch.seconds[name], 2) for name in ("plan", "pack", "check", "merge")}
    return {
        "mb": megabytes,
        "status": report.status,
        "facts": sum(report.facts.values()),
        "facts_requests": report.spent["facts"].requests,
        "merge_and_sections_requests": report.spent["merge"].requests + report.spent["sections"].requests,
        **steps,
        "four_steps_cpu_s": round(sum(watch.seconds.values()), 2),
        "whole_run_cpu_s": round(whole, 2),
        "idle_peak_mb": before,
        "peak_mb": _peak_mb(),
    }


def _peak_mb() -> float:
    """The most memory that this process has had; `ru_maxrss` would be that of the parent, too."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return round(int(line.split()[1]) / 1000, 1)
