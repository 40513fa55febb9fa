"""The mapping as a tree: order, active path, threads (extraction.md §3).

`children` is not trusted and not read: it is wrong or absent in many files. Nothing recurses, since
conversations are thousands of levels deep. All steps are linear but the heap, which is n log n.
"""

import heapq
from dataclasses import dataclass
from math import inf

import msgspec

MAIN = "main"


class Node(msgspec.Struct, frozen=True, gc=False):
    """What the graph has to know of a node. `time` is its own, in seconds; `parent` may be missing or wrong.

    `is_chat` says whether its message, if it has one, is kept by role, flags, recipient and type (extraction.md §4).
    """

    key: str
    parent: str | None
    time: float | None
    has_message: bool
    is_chat: bool = True


@dataclass(frozen=True, slots=True)
class Graph:
    """Positions are places in the list of nodes that was given.

    `order` has every position once, no child before its parent. `parents` has the position of each
    node's parent, None for a root. `times` are effective times. `cycles` were cut.
    """

    order: list[int]
    parents: list[int | None]
    times: list[float | None]
    active: list[bool]
    threads: list[str]
    cycles: int


def build_graph(nodes: list[Node], current: str | None, conversation_time: float | None) -> Graph:
    """Orders `nodes` (keys unique, in the mapping's order) and tells their threads apart."""
    position: dict[str | None, int] = {node.key: i for i, node in enumerate(nodes)}
    parents, cycles = _parents(nodes, position)
    children = _children(parents)
    times = _effective_times(nodes, parents, children, conversation_time)
    order = _order(parents, children, times)
    active = _active(nodes, parents, position.get(current))
    if active is not None and all(active):  # nearly always
        return Graph(order, parents, times, active, [MAIN] * len(nodes), cycles)
    newest_leaf = _newest_leaves(order, parents, times)
    if active is None:
        newest = max((newest_leaf[i] for i in range(len(nodes)) if not children[i]), default=(-inf, None))[1]
        active = _flags(_path_up(newest, parents), len(nodes))
    threads = _threads(nodes, order, parents, children, newest_leaf, active)
    return Graph(order, parents, times, active, threads, cycles)


def _parents(nodes: list[Node], position: dict[str | None, int]) -> tuple[list[int | None], int]:
    parents = [position.get(node.parent) for node in nodes]
    cycles = 0
    seen_in_walk = [-1] * len(nodes)
    for start in range(len(nodes)):
        walk: int | None = start
        while walk is not None and seen_in_walk[walk] == -1:
            seen_in_walk[walk] = start
            walk = parents[walk]
        if walk is not None and seen_in_walk[walk] == start:
            parents[_first_of_cycle(walk, parents)] = None
            cycles += 1
    return parents, cycles


def _first_of_cycle(member: int, parents: list[int | None]) -> int:
    """Where to cut: at the node that comes first in the mapping, whichever way the cycle was entered."""
    first = member
    walk = parents[member]
    while walk is not None and walk != member:
        first = min(first, walk)
        walk = parents[walk]
    return first


def _children(parents: list[int | None]) -> list[list[int]]:
    children: list[list[int]] = [[] for _ in parents]
    for child, parent in enumerate(parents):
        if parent is not None:
            children[parent].append(child)
    return children


def _effective_times(
    nodes: list[Node], parents: list[int | None], children: list[list[int]], conversation_time: float | None
) -> list[float | None]:
    times = [node.time for node in nodes]
    down = [i for i, parent in enumerate(parents) if parent is None]
    while down:
        i = down.pop()
        if times[i] is None:
            parent = parents[i]
            times[i] = conversation_time if parent is None else times[parent]
        down.extend(children[i])
    return times


def _order(parents: list[int | None], children: list[list[int]], times: list[float | None]) -> list[int]:
    """Kahn's algorithm: of the nodes whose parent is out, the one with the least time, then position."""

    def entry(i: int) -> tuple[float, int]:
        time = times[i]
        return (-inf if time is None else time, i)

    ready = [entry(i) for i, parent in enumerate(parents) if parent is None]
    heapq.heapify(ready)
    order = []
    while ready:
        _, i = heapq.heappop(ready)
        order.append(i)
        for child in children[i]:
            heapq.heappush(ready, entry(child))
    return order


def _newest_leaves(order: list[int], parents: list[int | None], times: list[float | None]) -> list[tuple[float, int]]:
    """For each node its subtree's newest leaf as (time, position): ties go to the last in the mapping."""
    newest: list[tuple[float, int]] = [(-inf, -1)] * len(order)
    for i in reversed(order):
        if newest[i][1] < 0:
            time = times[i]
            newest[i] = (-inf if time is None else time, i)
        parent = parents[i]
        if parent is not None:
            newest[parent] = max(newest[parent], newest[i])
    return newest


def _active(nodes: list[Node], parents: list[int | None], current: int | None) -> list[bool] | None:
    """Which nodes the app shows, None where `current_node` is not usable: the path to the newest leaf, then."""
    if _is_flat(nodes, parents):
        return [True] * len(nodes)
    path = _path_up(current, parents)
    if not any(nodes[i].has_message and nodes[i].is_chat for i in path):
        return None
    return _flags(path, len(nodes))


def _flags(path: list[int], nodes: int) -> list[bool]:
    """For each of so many nodes whether it is on the path."""
    active = [False] * nodes
    for i in path:
        active[i] = True
    return active


def _path_up(start: int | None, parents: list[int | None]) -> list[int]:
    """`start` and all nodes above it."""
    path = []
    walk = start
    while walk is not None:
        path.append(walk)
        walk = parents[walk]
    return path


def _is_flat(nodes: list[Node], parents: list[int | None]) -> bool:
    with_message = [i for i, node in enumerate(nodes) if node.has_message]
    return sum(parents[i] is None for i in with_message) * 2 > len(with_message)


def _threads(
    nodes: list[Node],
    order: list[int],
    parents: list[int | None],
    children: list[list[int]],
    newest_leaf: list[tuple[float, int]],
    active: list[bool],
) -> list[str]:
    threads = [MAIN] * len(nodes)
    goes_on: dict[int, int] = {}  # of a node off the active path, the child that leads to the newest leaf
    for i in order:
        if active[i]:
            continue
        if children[i]:
            goes_on[i] = max(children[i], key=newest_leaf.__getitem__)
        parent = parents[i]
        if parent is not None and goes_on.get(parent) == i:
            threads[i] = threads[parent]
        else:
            threads[i] = _thread_of(nodes[i].key)
    return threads


def _thread_of(key: str) -> str:
    """A node may be called "main": its thread must not run into the main one, nor into another's."""
    return f"node:{key}" if key.replace("node:", "") == MAIN else key
