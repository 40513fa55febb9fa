"""The graph (rules §3): parents, order, active path, threads. Every walk is a loop that a person can follow."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.reading.identity import time_of

MAIN = "main"


@dataclass
class Node:
    """A node of the mapping. `message` is None where the node carries none."""

    key: str
    position: int
    parent: str | None
    message: dict[str, object] | None
    time: float | None = None
    active: bool = False
    thread: str = ""


@dataclass
class Tree:
    """All nodes by key, in the mapping's order, and how many cycles were cut."""

    nodes: dict[str, Node] = field(default_factory=dict)
    cycles: int = 0

    def children(self, key: str) -> list[Node]:
        """The rule: "`children` may be wrong or absent and is not trusted": who names `key` as its parent."""
        return [node for node in self.nodes.values() if node.parent == key]

    def path_to(self, key: str) -> list[str]:
        """The keys from the root down to `key`."""
        path: list[str] = []
        above: str | None = key
        while above is not None:
            path.insert(0, above)
            above = self.nodes[above].parent
        return path

    def below(self, key: str) -> list[Node]:
        """`key` and all nodes under it."""
        return [node for node in self.nodes.values() if key in self.path_to(node.key)]


def planted(mapping: dict[str, object], conversation_time: float | None) -> Tree:
    """The rule: "The `mapping` is a tree by its `parent` links. A missing parent makes a root. A cycle is cut and
    counted."
    """
    tree = Tree()
    for position, (key, value) in enumerate(mapping.items()):
        fields = value if isinstance(value, dict) else {}
        parent = fields.get("parent")
        message = fields.get("message")
        tree.nodes[key] = Node(
            key,
            position,
            parent if isinstance(parent, str) and parent in mapping else None,
            message if isinstance(message, dict) else None,
        )
    _cut_cycles(tree)
    for node in tree.nodes.values():
        node.time = _effective_time(tree, node, conversation_time)
    return tree


def _cut_cycles(tree: Tree) -> None:
    """The first node of each cycle, in the mapping's order, becomes a root."""
    for node in tree.nodes.values():
        above, seen = node.parent, {node.key}
        while above is not None and above not in seen:
            seen.add(above)
            above = tree.nodes[above].parent
        if above == node.key:
            node.parent = None
            tree.cycles += 1


def _effective_time(tree: Tree, node: Node, conversation_time: float | None) -> float | None:
    """The rule: "The *effective time* of a node is its own `create_time`, else its parent's effective time, else the
    conversation's `create_time`."
    """
    for key in reversed(tree.path_to(node.key)):
        message = tree.nodes[key].message
        own = time_of(message.get("create_time")) if message is not None else None
        if own is not None:
            return own
    return conversation_time


def in_order(tree: Tree) -> list[Node]:
    """The rule: "By effective time, but never a child before its parent; ties keep the mapping's order."

    Of the nodes whose parents are placed, the earliest is next. No time sorts before all times.
    """
    placed: list[Node] = []
    waiting = list(tree.nodes.values())
    while waiting:
        done = {node.key for node in placed}
        ready = [node for node in waiting if node.parent is None or node.parent in done]
        node = min(ready, key=lambda node: (_sortable(node.time), node.position))
        placed.append(node)
        waiting.remove(node)
    return placed


def _sortable(time: float | None) -> float:
    return float("-inf") if time is None else time


def newest_leaf(tree: Tree, among: list[Node]) -> Node:
    """The rule: "The leaf with the greatest effective time (ties: the last)." """
    leaves = [node for node in among if not tree.children(node.key)]
    return max(leaves, key=lambda node: (_sortable(node.time), node.position))


def is_flat(tree: Tree) -> bool:
    """The rule: "If more than half of the nodes that carry a message are roots (the FLAT shape)." """
    carriers = [node for node in tree.nodes.values() if node.message is not None]
    roots = [node for node in carriers if node.parent is None]
    return len(roots) * 2 > len(carriers)


def mark_active_path(tree: Tree, current: object, would_keep: Callable[[dict[str, object]], bool]) -> None:
    """The rule: "From `current_node` up the parents. Without a usable `current_node` (absent, not in the mapping, or
    with no message on its path that §4 would keep by role, flags, recipient and type): from the leaf with the greatest
    effective time. If more than half of the nodes that carry a message are roots, all nodes are on the active path."
    """
    if not tree.nodes:
        return
    path: list[str] = []
    if isinstance(current, str) and current in tree.nodes:
        path = tree.path_to(current)
    messages = [tree.nodes[key].message for key in path]
    if not any(message is not None and would_keep(message) for message in messages):
        path = tree.path_to(newest_leaf(tree, list(tree.nodes.values())).key)
    if is_flat(tree):
        path = list(tree.nodes)
    for key in path:
        tree.nodes[key].active = True


def name_threads(tree: Tree) -> None:
    """The rule: "The *main* thread is the active path; at every fork off it the other children each begin a side
    thread, which again follows the child that leads to its newest leaf. A thread's id is `main`, or the node key it
    begins with."
    """
    for node in tree.nodes.values():
        if node.active:
            node.thread = MAIN
    while unnamed := [node for node in tree.nodes.values() if not node.thread]:
        for node in unnamed:
            if node.parent is None or tree.nodes[node.parent].thread:
                _name_side_thread(tree, node)
                break


def _name_side_thread(tree: Tree, first: Node) -> None:
    leaf = newest_leaf(tree, tree.below(first.key))
    for key in tree.path_to(leaf.key):
        if not tree.nodes[key].thread:
            tree.nodes[key].thread = first.key
