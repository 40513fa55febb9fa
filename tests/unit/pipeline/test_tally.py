"""extraction.md §2: however many names a file makes up, so many of a kind are told; the sums stay."""

from collections import Counter
from itertools import permutations
from pathlib import Path

import orjson
from hypothesis import given
from hypothesis import strategies as st

from ray_import.chatgpt.visibility import RECIPIENTS
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.pipeline import tally
from ray_import.pipeline.batch import BatchContext, import_batch
from ray_import.pipeline.inspection import inspect_sources
from ray_import.pipeline.report import counts_as_dict
from ray_import.pipeline.sources import open_sources
from ray_import.pipeline.tally import add_counts, bounded, bounded_counts, held, kind_of_reason, kind_of_type
from ray_import.records import Counts, Frame
from ray_import.settings import ImportSettings
from tests.contract.destinations import import_of
from tests.unit.pipeline.runs import Database

KINDS = ("role", "type", "to", "unknown_type", "unknown_frame", "unknown_mark")
LABELS = st.sampled_from(["a", "b", "c", "d", "e", "tool", "python", "code", "other", "", "x:y"])
NAMES = st.sampled_from(["hidden", "no_text", "cycle"]) | st.builds("{}:{}".format, st.sampled_from(KINDS), LABELS)
COUNTERS = st.dictionaries(NAMES, st.integers(1, 9)).map(Counter)


def unknown_of(kind: str, counts: Counter[str]) -> list[str]:
    return [name for name in counts if kind_of_reason(name) == f"{kind}:"]


@given(COUNTERS, st.integers(0, 4))
def test_bounded_keeps_the_first_names_of_each_kind_and_every_sum(counts: Counter[str], most: int) -> None:
    found = bounded(counts, most_unknown=most)
    assert found.total() == counts.total()
    assert bounded(found, most_unknown=most) == found
    for kind in KINDS:
        kept = unknown_of(kind, found)
        first = sorted(unknown_of(kind, counts), key=lambda name: (-counts[name], name))[:most]
        assert sorted(kept) == sorted(first)
        of_kind = [sum(n for name, n in one.items() if name.startswith(f"{kind}:")) for one in (counts, found)]
        assert of_kind[0] == of_kind[1]
    for name in counts:
        if kind_of_reason(name) is None and not name.endswith(":other"):
            assert found[name] == counts[name]


@given(st.dictionaries(NAMES, st.integers(1, 9)), st.randoms())
def test_bounded_does_not_depend_on_the_order_in_which_names_came(counts: dict[str, int], random: object) -> None:
    names = list(counts)
    random.shuffle(names)  # type: ignore[attr-defined]
    assert bounded(Counter({name: counts[name] for name in names}), most_unknown=2) == bounded(
        Counter(counts), most_unknown=2
    )


def test_bounded_always_counts_known_names_by_name() -> None:
    known = Counter({f"to:{name}": 1 for name in RECIPIENTS} | {"type:code": 1, "role:tool": 1, "role:unknown": 1})
    many = Counter({f"{kind}:{i:04}": 2 for kind in ("to", "type", "role") for i in range(500)})
    found = bounded(known + many)
    assert {name: found[name] for name in known} == known
    assert len(found) == len(known) + 3 * (tally.MOST_UNKNOWN_NAMES + 1)
    assert found["to:other"] == found["type:other"] == found["role:other"] == 2 * 400


def test_types_of_messages_are_bounded_but_for_the_known_ones() -> None:
    types = Counter({"user text": 1, "tool (none)": 1, "other": 1} | {f"user type {i:03}": 3 for i in range(150)})
    found = bounded(types, kind_of_type)
    assert (found["user text"], found["tool (none)"], found["other"]) == (1, 1, 1 + 3 * 50)
    assert len(found) == 3 + 100


def test_a_total_does_not_depend_on_the_order_of_its_batches() -> None:
    batches = [
        Counts(left_out=Counter({f"role:{i}": 1 + (i + n) % 7 for i in range(60 * n, 60 * n + 90)})) for n in range(4)
    ]
    totals = []
    for order in permutations(batches):
        total = Counts()
        for one in order:
            add_counts(total, bounded_counts(one))
        totals.append(counts_as_dict(total)["messages"]["left_out"])
    assert all(one == totals[0] for one in totals)
    assert len(totals[0]) == tally.MOST_UNKNOWN_NAMES + 1
    assert sum(totals[0].values()) == sum(one.left_out.total() for one in batches)


def test_a_running_total_is_bounded_when_very_many_names_have_come() -> None:
    total = Counter({f"role:{i}": 1 for i in range(tally.MOST_HELD_NAMES)})
    assert held(total) is total
    total["role:one more"] = 1
    found = held(total)
    assert len(found) == tally.HELD_ON_UNKNOWN_NAMES + 1
    assert found.total() == tally.MOST_HELD_NAMES + 1


def export_of_many_roles(names: int) -> bytes:
    """One conversation; each message has a role of its own."""
    mapping = {str(i): {"message": {"author": {"role": f"r{i:04}"}}, "parent": None} for i in range(names)}
    return orjson.dumps([{"conversation_id": "c", "mapping": mapping}])


def test_a_batch_tells_of_few_names_when_a_conversation_makes_up_many(tmp_path: Path) -> None:
    raw = export_of_many_roles(400)[1:-1]
    sink = SqliteSink(tmp_path / "chunks.db")
    result = import_batch(raw, [Frame("m", 0, 0, len(raw), "")], BatchContext(import_of(1), ImportSettings()), sink)
    sink.close()
    assert len(result.counts.left_out) == 101
    assert result.counts.left_out["role:other"] == 300
    assert result.counts.left_out["role:r0099"] == 1


def test_a_batch_reports_few_frames_and_marks_when_an_answer_makes_up_many(tmp_path: Path) -> None:
    text = "\n".join(f":::f{i:04}\n\ue200k{i:04}\ue202A\ue201" for i in range(400))
    message = {"author": {"role": "assistant"}, "content": {"parts": [text]}}
    raw = orjson.dumps({"conversation_id": "c", "mapping": {"n": {"message": message}}})
    sink = SqliteSink(tmp_path / "chunks.db")
    result = import_batch(raw, [Frame("m", 0, 0, len(raw), "")], BatchContext(import_of(1), ImportSettings()), sink)
    sink.close()
    for kind, first in (("unknown_frame", "f0099"), ("unknown_mark", "k0099")):
        of_kind = {name: n for name, n in result.counts.notes.items() if name.startswith(f"{kind}:")}
        assert (len(of_kind), of_kind[f"{kind}:other"], of_kind[f"{kind}:{first}"]) == (101, 300, 1)


def test_an_import_and_an_inspection_tell_the_same_few_names_when_a_file_makes_up_many(tmp_path: Path) -> None:
    export = tmp_path / "conversations.json"
    export.write_bytes(export_of_many_roles(400))
    summary = Database(tmp_path / "chunks.db").imported(export)
    settings = ImportSettings()
    found = inspect_sources(open_sources([export], settings.read), settings)
    assert summary.counts.left_out == found.left_out
    assert len(found.left_out) == len(found.types) == 101
    assert found.left_out.total() == found.types.total() == found.nodes == 400
