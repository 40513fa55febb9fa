"""extraction.md §3: every branch, in order, told apart."""

from collections import Counter
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ray_import.chatgpt.graph import Graph, Node, build_graph
from tests.support.strategies import START, currents, graphs, times

CONVERSATION_TIME = START + 3.0


def node(key: str, parent: str | None = None, time: float | None = None, *, message: bool = True) -> Node:
    return Node(key, parent, time, message)


def tree(text: str, current: str | None = None, time: float | None = None) -> tuple[list[str], Graph]:
    """`a b<a@3 -c<a` to a graph: b has the parent a and time 3, c carries no message."""
    nodes = []
    for word in text.split():
        name, _, seconds = word.partition("@")
        key, _, parent = name.removeprefix("-").partition("<")
        nodes.append(node(key, parent or None, float(seconds) if seconds else None, message=not word.startswith("-")))
    return [n.key for n in nodes], build_graph(nodes, current, time)


def order(text: str) -> str:
    keys, graph = tree(text)
    return " ".join(keys[i] for i in graph.order)


def active(text: str, current: str | None = None) -> str:
    keys, graph = tree(text, current)
    return " ".join(key for key, on in zip(keys, graph.active, strict=True) if on)


def threads(text: str, current: str | None = None) -> dict[str, str]:
    """The members of each thread, in order."""
    keys, graph = tree(text, current)
    members: dict[str, list[str]] = {}
    for i in graph.order:
        members.setdefault(graph.threads[i], []).append(keys[i])
    return {thread: " ".join(found) for thread, found in members.items()}


# Order


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("a@1 b<a@2 c<b@3", "a b c"),
        ("c<b@3 b<a@2 a@1", "a b c"),
        ("a@1 x<a@2 y<a@4 x2<x@3 y2<y@5", "a x x2 y y2"),
        ("a@1 x<a@2 y<a@3 x2<x@4 y2<y@5", "a x y x2 y2"),
    ],
)
def test_nodes_are_in_the_order_of_their_times(text: str, expected: str) -> None:
    assert order(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@1 b<a@9 c<b@2 d<c@10", "a b c d"),
        ("a@9 b<a@1", "a b"),
        ("a@1 call<a@5 result<call@2 other<a@4", "a other call result"),
    ],
)
def test_a_child_older_than_its_parent_still_comes_after_it(text: str, expected: str) -> None:
    assert order(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@1 z<a@2 y<a@2 x<a@2", "a z y x"),
        ("q p r", "q p r"),
        ("a@1 z<a y<a@1 x<a", "a z y x"),
    ],
)
def test_ties_keep_the_mappings_order(text: str, expected: str) -> None:
    assert order(text) == expected


def test_an_effective_time_is_ones_own_else_the_parents_else_the_conversations() -> None:
    keys, graph = tree("a b<a@5 c<b d<c@2 e<d f<a g@7 h<missing", time=3.0)
    assert dict(zip(keys, graph.times, strict=True)) == {
        "a": 3.0, "b": 5.0, "c": 5.0, "d": 2.0, "e": 2.0, "f": 3.0, "g": 7.0, "h": 3.0,
    }  # fmt: skip


def test_without_any_time_there_is_none() -> None:
    assert tree("a b<a")[1].times == [None, None]


# Tree


def test_a_missing_parent_makes_a_root() -> None:
    assert tree("a b<missing c<b")[1].parents == [None, None, 1]


@pytest.mark.parametrize(
    ("text", "cycles", "parents"),
    [
        ("a b<a", 0, [None, 0]),
        ("a<a", 1, [None]),
        ("a<b b<a", 1, [None, 0]),
        ("a<c b<a c<b", 1, [None, 0, 1]),
        ("tail<b a<b b<a", 1, [2, None, 1]),
        ("a<a b<b c<d d<c", 3, [None, None, None, 2]),
        ("a<b b<a x<a y<x", 1, [None, 0, 0, 2]),
    ],
)
def test_a_cycle_is_cut_once_and_counted(text: str, cycles: int, parents: list[int | None]) -> None:
    graph = tree(text)[1]
    assert (graph.cycles, graph.parents) == (cycles, parents)


# Active path


def test_the_active_path_leads_from_the_current_node_up() -> None:
    assert active("-root a<root@1 b<a@2 b2<a@3 c<b@4 c2<b2@5", "c") == "root a b c"


def test_a_current_node_in_the_middle_ends_the_active_path_there() -> None:
    assert active("-root a<root@1 b<a@2 c<b@3", "b") == "root a b"


@pytest.mark.parametrize("current", [None, "missing"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-r a<r@1 old<a@2 new<a@3", "r a new"),
        ("-r a<r@1 new<a@3 old<a@2", "r a new"),
        ("-r a<r@1 x<a@2 y<a@2", "r a y"),
        ("-r a<r@1 y<a@2 x<a@2", "r a x"),
        ("-r a<r x<a y<a", "r a y"),
        ("-r a<r@9 b<a@1 c<r@2", "r c"),
        ("-r a<r@5 -gap<a b<r@4", "r a gap"),
    ],
)
def test_without_a_usable_current_node_it_leads_to_the_newest_leaf_the_last_of_equals(
    text: str, expected: str, current: str | None
) -> None:
    assert active(text, current) == expected


@pytest.mark.parametrize(
    ("chat", "current", "expected"),
    [
        ("", "r", "r s q b"),
        ("", "s", "r s q b"),
        ("", "a", "r s q b"),
        ("s", "r", "r s q b"),
        ("s", "s", "r s"),
        ("r", "s", "r s q b"),
        ("q", "s", "r s q b"),
        ("q", "a", "r s q a"),
        ("a", "a", "r s q a"),
        ("s", "a", "r s q a"),
        ("b", "a", "r s q b"),
    ],
)
def test_current_node_is_not_used_when_nothing_on_its_path_is_chat(chat: str, current: str, expected: str) -> None:
    """The root `r` carries no message, whatever is said of it."""
    nodes = [node("r", message=False), node("s", "r"), node("q", "s"), node("a", "q", 1.0), node("b", "q", 2.0)]
    nodes = [replace(n, is_chat=n.key in chat) for n in nodes]
    found = build_graph(nodes, current, None).active
    assert " ".join(n.key for n, on in zip(nodes, found, strict=True) if on) == expected


@pytest.mark.parametrize(
    ("text", "current", "expected"),
    [
        ("a@3 b@1 c@2", None, "a b c"),
        ("a b c<b", None, "a b c"),
        ("a b c<b", "c", "a b c"),
        ("a b c<b d<c", None, "b c d"),
        ("-r a<r b<r c<r", None, "r c"),
        ("-p -q -s a<p b<a", None, "p a b"),
        ("a", None, "a"),
    ],
)
def test_only_where_more_than_half_of_the_messages_are_roots_all_nodes_are_active(
    text: str, current: str | None, expected: str
) -> None:
    assert active(text, current) == expected


# Threads


@pytest.mark.parametrize(
    ("text", "current", "expected"),
    [
        ("-r a<r@1 b<a@2", "b", {"main": "r a b"}),
        ("-r a<r@1 b<a@2 c<b@3", "b", {"main": "r a b", "c": "c"}),
        ("-r a<r@1 old<a@2 new<a@3", "new", {"main": "r a new", "old": "old"}),
        ("-r a<r@1 old<a@2 new<a@3", "old", {"main": "r a old", "new": "new"}),
        ("-r a<r@1 x<a@2 x2<x@3 y<a@4 y2<y@5", "y2", {"main": "r a y y2", "x": "x x2"}),
        ("-r a<r@1 x<a@2 y<a@3 z<a@4", "z", {"main": "r a z", "x": "x", "y": "y"}),
        ("-r a<r@1 s<a@2 t<s@4 u<s@3 v<t@5 m<a@6", "m", {"main": "r a m", "s": "s t v", "u": "u"}),
        ("-r a<r@1 s<a@2 u<s@3 t<s@3 m<a@6", "m", {"main": "r a m", "s": "s t", "u": "u"}),
        ("-r a<r@1 s<a@2 t<s@9 u<s@3 v<u@5 w<t@4 m<a@6", "m", {"main": "r a m", "s": "s u v", "t": "t w"}),
        ("-r a<r@1 -p b<p@2 c<b@3", "a", {"main": "r a", "p": "p b c"}),
        ("a@2 b@1 c@3", None, {"main": "b a c"}),
    ],
)
def test_the_active_path_is_the_main_thread_and_a_side_thread_begins_at_each_fork(
    text: str, current: str | None, expected: dict[str, str]
) -> None:
    assert threads(text, current) == expected


def test_a_node_called_main_does_not_get_its_side_thread_into_the_main_one_nor_into_anothers() -> None:
    assert threads("-r main<r@1 node:main<r@2 node:node:main<r@3 b<r@4", "b") == {
        "main": "r b", "node:main": "main", "node:node:main": "node:main", "node:node:node:main": "node:node:main",
    }  # fmt: skip


# Properties


def naive_parents(nodes: list[Node], graph: Graph) -> list[int]:
    """Positions whose link up was cut although the parent is there."""
    keys = [n.key for n in nodes]
    wanted = [keys.index(n.parent) if n.parent in keys else None for n in nodes]
    cut = [i for i, parent in enumerate(wanted) if parent != graph.parents[i]]
    assert all(graph.parents[i] is None for i in cut)
    return cut


def path_up(graph: Graph, i: int | None) -> list[int]:
    """`i` and all above it; fails where that does not end."""
    path: list[int] = []
    while i is not None:
        assert i not in path
        path.append(i)
        i = graph.parents[i]
    return path


@st.composite
def built(draw: st.DrawFn) -> tuple[list[Node], str | None, float | None, Graph]:
    nodes = draw(graphs())
    current = draw(currents(nodes))
    time = draw(times())
    return nodes, current, time, build_graph(nodes, current, time)


@given(built())
def test_links_are_cut_only_to_end_cycles_and_each_cut_is_counted(case: tuple[list[Node], None, None, Graph]) -> None:
    nodes, _, _, graph = case
    cut = naive_parents(nodes, graph)
    assert len(cut) == graph.cycles
    links = {n.key: n.parent for n in nodes}
    for i in cut:
        walk = links[nodes[i].key]
        for _ in nodes:
            if walk == nodes[i].key:
                break
            walk = links[walk or ""]
        assert walk == nodes[i].key
    for i in range(len(nodes)):
        path_up(graph, i)


@given(built())
def test_the_order_is_by_effective_time_then_position_among_those_whose_parent_is_out(
    case: tuple[list[Node], None, float | None, Graph],
) -> None:
    nodes, _, conversation_time, graph = case
    for i, given_node in enumerate(nodes):
        parent = graph.parents[i]
        inherited = conversation_time if parent is None else graph.times[parent]
        assert graph.times[i] == (inherited if given_node.time is None else given_node.time)
    out: list[int] = []
    while len(out) < len(nodes):
        ready = [i for i in range(len(nodes)) if i not in out and graph.parents[i] in (None, *out)]
        times_of = {i: -inf if (time := graph.times[i]) is None else time for i in ready}
        out.append(min(ready, key=lambda i: (times_of[i], i)))
    assert graph.order == out


def newest_leaf(graph: Graph, under: int) -> int:
    """The leaf with the greatest time, then position, in the subtree of `under`."""
    leaves = set(range(len(graph.parents))) - set(graph.parents)
    times_of = {i: -inf if (time := graph.times[i]) is None else time for i in leaves}
    return max((i for i in leaves if under in path_up(graph, i)), key=lambda i: (times_of[i], i))


@given(built())
def test_the_active_path_is_the_way_up_from_the_current_node_or_the_newest_leaf(
    case: tuple[list[Node], str | None, None, Graph],
) -> None:
    nodes, current, _, graph = case
    keys = [n.key for n in nodes]
    with_message = [i for i, n in enumerate(nodes) if n.has_message]
    roots = [i for i in with_message if graph.parents[i] is None]
    if len(roots) > len(with_message) / 2:
        expected = set(range(len(nodes)))
    elif current in keys and any(
        nodes[i].has_message and nodes[i].is_chat for i in path_up(graph, keys.index(current))
    ):
        expected = set(path_up(graph, keys.index(current)))
    else:
        newest = [newest_leaf(graph, i) for i in range(len(nodes)) if graph.parents[i] is None]
        last = max(newest, key=lambda i: (graph.times[i] or -inf, i), default=None)
        expected = set(path_up(graph, last))
    assert {i for i in range(len(nodes)) if graph.active[i]} == expected


@given(built())
def test_threads_part_all_nodes_into_simple_paths_that_begin_at_forks_and_end_at_newest_leaves(
    case: tuple[list[Node], None, None, Graph],
) -> None:
    nodes, _, _, graph = case
    members: dict[str, list[int]] = {}
    for i in graph.order:
        members.setdefault(graph.threads[i], []).append(i)
    assert set(members.pop("main", [])) == {i for i in range(len(nodes)) if graph.active[i]}
    for thread, path in members.items():
        assert thread == nodes[path[0]].key
        assert all(graph.parents[below] == above for above, below in pairwise(path))
        assert path[-1] == newest_leaf(graph, path[0])


# Size


@pytest.mark.parametrize("reverse", [False, True])
def test_a_conversation_10_000_levels_deep_is_one_thread(reverse: bool) -> None:
    nodes = [node(str(i), str(i - 1) if i else None, float(START + i)) for i in range(10_000)]
    if reverse:
        nodes.reverse()
    graph = build_graph(nodes, "9999", None)
    assert [nodes[i].key for i in graph.order] == [str(i) for i in range(10_000)]
    assert Counter(graph.threads) == {"main": 10_000}


def test_a_fork_100_000_wide_is_100_000_threads() -> None:
    nodes = [node("r", message=False), *(node(str(i), "r", float(START + i)) for i in range(100_000))]
    graph = build_graph(nodes, "0", None)
    assert graph.order == list(range(100_001))
    assert Counter(graph.threads).most_common(1) == [("main", 2)]
    assert len(set(graph.threads)) == 100_000


def test_so_is_one_off_the_active_path_in_no_quadratic_time() -> None:
    """It would be minutes."""
    nodes = [node("r", message=False), node("shown", "r", float(START + 200_000)), node("side", "r", float(START))]
    nodes += [node(str(i), "side", float(START + i)) for i in range(100_000)]
    graph = build_graph(nodes, "shown", None)
    assert graph.threads[2] == graph.threads[-1] == "side"
    assert len(set(graph.threads)) == 1 + 100_000


def test_a_cycle_10_000_long_is_cut_once() -> None:
    nodes = [node(str(i), str((i - 1) % 10_000)) for i in range(10_000)]
    graph = build_graph(nodes, None, None)
    assert (graph.cycles, graph.order) == (1, list(range(10_000)))
