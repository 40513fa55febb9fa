"""Whole conversations, one after another, as the objects that an export's array holds."""

from dataclasses import dataclass
from random import Random

import orjson

from tests.support.synthetic.prose import write_prose
from tests.support.synthetic.scene import Scene
from tests.support.synthetic.stock import custom_instructions, lay_in_stock
from tests.support.synthetic.tree import Shape, Tree
from tests.support.synthetic.turns import CUMULATIVE_SHARES, KINDS

# language: (share of conversations, paragraphs in the pool)
LANGUAGES = {"en": (0.86, 2_400), "ja": (0.08, 500), "zh": (0.06, 500)}
MEDIAN_TURNS, SIGMA = 2.2, 1.2
GIANTS = 1 / 600  # share of conversations of 1-3 MB
TURN_BYTES = 5_000  # about the average


@dataclass(frozen=True, slots=True)
class Written:
    """One serialised conversation and the number of its messages."""

    json: bytes
    messages: int


class Account:
    """A person whose conversations never end; the same seed and shape give the same ones."""

    def __init__(self, seed: int, shape: Shape) -> None:
        self._rng = Random(seed)
        self._shape: Shape = shape
        self._prose = [write_prose(self._rng, language, size) for language, (_, size) in LANGUAGES.items()]
        self._stock = [lay_in_stock(self._rng, prose) for prose in self._prose]
        self._shares = [share for share, _ in LANGUAGES.values()]
        self._instructions = custom_instructions(self._prose[0])

    def converse(self, room_bytes: float) -> Written:
        """The next conversation: about 34 KB on average, and not much more than `room_bytes`."""
        rng = self._rng
        language = rng.choices(range(len(LANGUAGES)), self._shares)[0]
        started = 1.68e9 + rng.random() * 9e7
        scene = Scene(rng, Tree(rng, self._shape, started), self._prose[language], self._stock[language])
        turns = min(self._turns(), int(room_bytes / TURN_BYTES) + 1)
        shown = self._talk(scene, self._open(scene), turns)
        return Written(orjson.dumps(_conversation(scene, started, shown)), scene.tree.messages)

    def _turns(self) -> int:
        if self._rng.random() < GIANTS:
            return self._rng.randint(200, 600)
        return int(self._rng.lognormvariate(0, SIGMA) * MEDIAN_TURNS) + 1

    def _open(self, scene: Scene) -> str:
        """The root, the empty system message, and for four in ten the custom instructions."""
        start = scene.hide(scene.tree.add_root())
        if not scene.chance(0.4):
            return start
        about_user, about_model = self._prose[0].paragraphs[:2]
        told: dict[str, object] = {
            "content_type": "user_editable_context",
            "user_profile": about_user,
            "user_instructions": about_model,
        }
        return scene.tree.add(start, "user", told, self._instructions)

    def _talk(self, scene: Scene, last: str, turns: int) -> str:
        """Adds `turns` turns below `last`; some prompts were edited, which leaves a branch behind."""
        for _ in range(turns):
            if scene.chance(0.04):
                self._turn(scene, last)
            if scene.chance(0.25):
                last = scene.hide(last)
            last = self._turn(scene, last)
        return last

    def _turn(self, scene: Scene, parent: str) -> str:
        kind = self._rng.choices(KINDS, cum_weights=CUMULATIVE_SHARES)[0]
        return kind(scene, parent)


def _conversation(scene: Scene, started: float, shown: str) -> dict[str, object]:
    key = scene.tree.new_id()
    title = None if scene.chance(0.004) else scene.pick(scene.prose.sentences)[:40]
    return {
        "title": title,
        "create_time": started,
        "update_time": scene.tree.clock,
        "mapping": scene.tree.mapping,
        "moderation_results": [],
        "current_node": shown,
        "plugin_ids": None,
        "conversation_id": key,
        "conversation_template_id": None,
        "gizmo_id": None,
        "gizmo_type": None,
        "is_archived": False,
        "is_starred": None,
        "safe_urls": [f"https://www.example-{index}.org/" for index in range(scene.count(0, 3))],
        "blocked_urls": [],
        "default_model_slug": "gpt-4o",
        "conversation_origin": None,
        "is_read_only": None,
        "voice": None,
        "async_status": None,
        "disabled_tool_ids": [],
        "is_do_not_remember": None,
        "memory_scope": "global_enabled",
        "context_scopes": None,
        "sugar_item_id": None,
        "sugar_item_visible": False,
        "is_study_mode": False,
        "owner": None,
        "id": key,
    }
