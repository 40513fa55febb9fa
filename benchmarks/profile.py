"""What the profile step takes, without and with a fake API: `python -m benchmarks.profile COMMAND`.

    user --mb 20 40                     # CPU and memory of a run over one user, its requests by kind
    merge --packs 1000 4000 --repeat 9  # CPU of merging the facts of so many packs
    second --mb 10                      # a second export with 3 % changed conversations, a third with none
    facts --lies 2000                   # planted facts that come in, lies that do not
    limits --minutes 5                  # what of a key's limits is used, and how often it is refused

The fake API is `tests.support.model_api`, in a process of its own; `user` has its model in the same process, and
leaves out the model's own CPU time.
"""

import argparse
import asyncio
import os
import random
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import machine
from benchmarks.profile_data import chats_of, planted_facts, stored_facts, words_of
from benchmarks.profile_steps import USER, Figures, figures_of_user
from ray_import.credentials import claude_access
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.profile.direct_calls import Caller
from ray_import.profile.facts_prompt import FACTS_SCHEMA
from ray_import.profile.merging import Decision, Relation, merged
from ray_import.profile.model import Prompt
from ray_import.profile.plan import plan_units
from ray_import.profile.settings import DEFAULT_MODEL, IN_FLIGHT
from tests.support.model_api.planted import planted_in
from tests.support.model_api.server import ModelApi, model_api_process
from tests.support.profile.bench import Profiled
from tests.support.profile.chats import Chat, store

FACTS_PER_PACK = 9
RELATIONS: tuple[Relation, ...] = ("same", "contradicts", "different")


def put(path: Path, chats: list[Chat]) -> None:
    """Imports the conversations of a user."""
    with closing(SqliteSink(path, create=True)) as sink:
        store(sink, USER, chats)


def put_generated(path: Path, megabytes: float) -> None:
    """The same, of generated ones."""
    put(path, chats_of(megabytes))


def user(options: argparse.Namespace, folder: Path) -> None:
    """One user by sizes, each in a process of its own."""
    rows = []
    for megabytes in options.mb:
        path = folder / f"{megabytes:g}.db"
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as filling:
            filling.submit(put_generated, path, megabytes).result()
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as measuring:
            rows.append(measuring.submit(figures_of_user, path, megabytes).result())
    side_by_side(rows)


def merge(options: argparse.Namespace, _: Path) -> None:
    """The facts of packs, merged without any answer to a question, and with one to each.

    Each size has a process of its own in each round. Medians are of the rounds, and of their ratios of the largest size
    to the smallest.
    """
    rounds: list[list[Figures]] = []
    for _round in range(options.repeat):
        rounds.append([])
        for packs in options.packs:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as measuring:
                rounds[-1].append(measuring.submit(figures_of_merge, packs).result())
    for name in ("cpu_s", "with_answers_cpu_s"):
        for column in zip(*rounds, strict=True):
            middle = round(median(row[name] for row in column), 3)
            for row in column:
                row[f"median_{name}"] = middle
        ratios = [round(row[-1][name] / row[0][name], 2) for row in rounds]
        print(f"{name} largest/smallest: median {median(ratios)} of {ratios}")
    side_by_side(rounds[-1])


def figures_of_merge(packs: int) -> Figures:
    """Merges so many packs' facts, without and with answers."""
    facts = stored_facts(packs * FACTS_PER_PACK)
    began = time.process_time()
    found = merged(facts, ())
    seconds = time.process_time() - began
    answers = [Decision(one, other, RELATIONS[number % 3]) for number, (one, other) in enumerate(found.unclear)]
    began = time.process_time()
    decided = merged(facts, answers)
    seconds_decided = time.process_time() - began
    row: Figures = {"packs": packs, "facts": len(facts), "unclear": len(found.unclear), "cpu_s": round(seconds, 3)}
    states = Counter(str(fact.status) for fact in decided.facts)
    return row | {"with_answers_cpu_s": round(seconds_decided, 3)} | dict(states)


def second(options: argparse.Namespace, folder: Path) -> None:
    """A first export, one with a share of conversations that go on with a new fact, and the same once more."""
    chats = chats_of(options.mb)
    rng, step = random.Random(1), round(100 / options.percent)
    newer = [
        replace(chat, lines=(*chat.lines, said.quote, "I see.")) if number % step == 0 else chat
        for number, (chat, said) in enumerate(zip(chats, planted_facts(rng, words_of(rng)), strict=False))
    ]
    with model_api_process() as api:
        profiled = _profiled(folder / "chats.db", api)
        put(profiled.path, chats)
        first = profiled.run(USER)
        put(profiled.path, newer)
        with closing(SqliteSink(profiled.path, create=False)) as sink:
            all_tokens = sum(ref.tokens for ref in plan_units(sink, USER, f"{DEFAULT_MODEL} for the sum").to_send)
            changed_tokens = sum(ref.tokens for ref in plan_units(sink, USER, DEFAULT_MODEL).to_send)
        api.forget_ledger()
        after = profiled.run(USER)
        api.forget_ledger()
        unchanged = profiled.run(USER)
        calls = len(api.ledger().calls)
    share = changed_tokens / all_tokens
    fair = share * first.spent["facts"].input_tokens
    rows = [
        {
            "export": name,
            "status": report.status,
            **{f"{kind}_requests": report.spent[kind].requests for kind in ("quick", "facts")},
            "facts_input_tokens": report.spent["facts"].input_tokens,
            "merge_and_sections_input_tokens": report.spent["merge"].input_tokens
            + report.spent["sections"].input_tokens,
            "usd": round(report.total.usd, 4),
        }
        for name, report in (("first", first), ("changed", after), ("unchanged", unchanged))
    ]
    side_by_side(rows)
    print(f"changed: {share:.2%} of the tokens of all units; extraction took {_ratio(after, fair)} times their share")
    print(f"unchanged: {calls} calls of the API")


def _ratio(report: Any, fair: float) -> str:
    return f"{report.spent['facts'].input_tokens / fair:.2f}"


def facts(options: argparse.Namespace, folder: Path) -> None:
    """Planted facts by a truthful model, and by one that lies as often as is asked for."""
    chats = chats_of(options.mb)
    planted = {
        (fact.statement, f"{chat.id}-{position}")
        for chat in chats
        for position, line in enumerate(chat.lines)
        if position % 2 == 0
        for fact in planted_in(line)
    }
    rows = list[Figures]()
    with model_api_process() as api:
        for name in ("truthful", "lying"):
            profiled = _profiled(folder / f"{name}.db", api)
            put(profiled.path, chats)
            if name == "lying":
                each = 1 + options.lies // (3 * rows[0]["facts_requests"])
                api.set(invented_quotes=each, wrong_numbers=each, others_words=each)
            report = profiled.run(USER)
            said = profiled.said(USER)
            requests = report.spent["facts"].requests
            rows.append(
                {
                    "model": name,
                    "facts_requests": requests,
                    "planted": len(planted),
                    "found_with_their_message": len(planted & said),
                    "others": len(said - planted),
                    "lies_told": 3 * each * requests if name == "lying" else 0,
                    **{f"rejected_{reason}": count for reason, count in sorted(report.rejected.items())},
                }
            )
    side_by_side(rows)


def limits(options: argparse.Namespace, _: Path) -> None:
    """Direct calls without a pause, for so many minutes, against a key with limits."""
    with model_api_process(
        latency_seconds=options.latency,
        requests_per_minute=options.requests_per_minute,
        input_tokens_per_minute=options.tokens_per_minute,
    ) as api:
        os.environ.update(api.environment())
        seconds = 60.0 * options.minutes
        asyncio.run(_ask_for(seconds, options.prompt_tokens))
        ledger = api.ledger()
    calls = [call for call in ledger.calls if call.path == "/v1/messages"]
    began = calls[0].at
    rows = []
    for minute in range(-(-int(seconds) // 60)):
        of_minute = [call for call in calls if 60 * minute <= call.at - began < min(seconds, 60 * (minute + 1))]
        answered = [call for call in of_minute if call.status == 200]
        length = (min(seconds, 60 * (minute + 1)) - 60 * minute) / 60
        rows.append(
            {
                "minute": minute + 1,
                "requests": len(answered),
                "of_requests": f"{len(answered) / length / options.requests_per_minute:.0%}",
                "of_input_tokens": f"{sum(c.input_tokens for c in answered) / length / options.tokens_per_minute:.0%}",
                "refused_429": sum(call.status == 429 for call in of_minute),
            }
        )
    side_by_side(rows)
    tokens = sum(call.input_tokens for call in calls if call.status == 200 and call.at - began < seconds)
    count = sum(call.status == 200 and call.at - began < seconds for call in calls)
    of_requests = count / options.minutes / options.requests_per_minute
    of_tokens = tokens / options.minutes / options.tokens_per_minute
    print(f"all {options.minutes:g} minutes: {of_requests:.1%} of the requests, {of_tokens:.1%} of the input tokens")
    print("the buckets are full at first, so that the first minute has two minutes' worth")


async def _ask_for(seconds: float, prompt_tokens: int) -> None:
    from ray_import.profile.anthropic_api import Claude  # noqa: PLC0415 - seconds, and 80 MB

    claude = Claude(claude_access(DEFAULT_MODEL))
    caller = Caller(claude)
    ends = time.monotonic() + seconds
    prompt = Prompt(
        custom_id="r", model=DEFAULT_MODEL, system="", schema=FACTS_SCHEMA, max_output_tokens=8_000,
        text="[1] user undated: " + "word " * int(prompt_tokens * 3.1 / 5), input_tokens=prompt_tokens,
    )  # fmt: skip

    async def ask_on(number: int) -> None:
        while time.monotonic() < ends:
            await caller.ask(replace(prompt, custom_id=f"r{number}"))

    asking = [asyncio.create_task(ask_on(number)) for number in range(2 * IN_FLIGHT)]
    await asyncio.wait(asking, timeout=seconds)
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    await claude.close()


def _profiled(path: Path, api: ModelApi) -> Profiled:
    os.environ.update(api.environment())
    return Profiled(path, api)


def side_by_side(rows: list[Figures]) -> None:
    """The figures of several runs as columns."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    widths = [max(len(f"{row.get(name, '')}") for name in names) for row in rows]
    for name in names:
        cells = (f"{row.get(name, '')}".rjust(width + 2) for row, width in zip(rows, widths, strict=True))
        print(f"{name:<34}{''.join(cells)}")


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    for function, arguments in (
        (user, (("--mb", float, [2.0, 4.0]),)),
        (merge, (("--packs", int, [250, 1_000]), ("--repeat", int, 3))),
        (second, (("--mb", float, 2.0), ("--percent", float, 3.0))),
        (facts, (("--mb", float, 0.5), ("--lies", int, 200))),
        (
            limits,
            (
                ("--minutes", float, 0.2),
                ("--requests-per-minute", int, 120),
                ("--tokens-per-minute", int, 400_000),
                ("--prompt-tokens", int, 5_000),
                ("--latency", float, 1.0),
            ),
        ),
    ):
        command = commands.add_parser(function.__name__, help=function.__doc__)
        command.set_defaults(act=function)
        for name, kind, default in arguments:
            command.add_argument(name, type=kind, default=default, nargs="+" if isinstance(default, list) else None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ray-import-profile-") as folder:
        options.act(options, Path(folder))
    print(machine.in_a_line())


if __name__ == "__main__":
    main()
