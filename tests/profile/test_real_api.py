"""A profile made by the real API. It costs about a cent, so it runs only where it is asked for:

    RAY_IMPORT_REAL_API=now ANTHROPIC_API_KEY=… pytest -n 0 tests/profile/test_real_api.py

With `batch` the same is asked by Message Batches, which take minutes to hours.
"""

import os
from contextlib import closing
from pathlib import Path

import pytest

from ray_import.cli.profile_run import make_profile
from ray_import.destinations.sqlite.sink import SqliteSink
from ray_import.profile.checking import normalised
from ray_import.profile.report import ProfileReport
from ray_import.profile.settings import ProfileSettings
from tests.support.profile.chats import Chat, store

WAY = os.environ.get("RAY_IMPORT_REAL_API", "")
pytestmark = [
    pytest.mark.skipif(WAY not in ("now", "batch"), reason="RAY_IMPORT_REAL_API is neither now nor batch"),
    pytest.mark.timeout(24 * 3600 if WAY == "batch" else 600),
]

TOLD = {
    "Porto": "I live in Porto and work there as a gardener for the city. Which roses bear salt wind?",
    "Marta": "My daughter Marta was born on 3 May 2019. What can we do on her birthday?",
    "accordion": "I have played the accordion for twenty years. How do I clean the reeds?",
    "vegetarian": "I have been a vegetarian since 2011. Give me a stew for the winter.",
    "greenhouse": "I am building a greenhouse of old windows behind our house. How do I seal the frames?",
    "short": "Please always give me short answers without any lists. What is loam?",
    "Lisbon": "I decided not to move to Lisbon, because my mother needs me here. How do I tell my boss?",
    "diesel": "I believe that nobody should drive a diesel in a city. Is that too strict?",
}
"""What the user says, by the word that has to be in a statement."""

DECOY = "By the way, since you are a dentist from Oslo with two parrots, you could keep records of your patients."
CHATS = [
    Chat(f"c-{number}", (text, f"I see. {DECOY}", "Thank you.", "You are welcome."), f"Chat {number}", 30 * number)
    for number, text in enumerate(TOLD.values())
]
SAID = {f"{chat.id}-{position}": chat.lines[position] for chat in CHATS for position in (0, 2)}


class Made:
    """A profile, and what the same run gives once more."""

    def __init__(self, path: Path) -> None:
        with closing(SqliteSink(path, create=True)) as sink:
            store(sink, "ada", CHATS)
        self.report = self._run(path)
        self.again = self._run(path)
        with closing(SqliteSink(path, create=False)) as sink:
            self.facts = sink.facts("ada")
            self.versions = sink.versions_of("ada")

    def _run(self, path: Path) -> ProfileReport:
        settings = ProfileSettings(in_batches=WAY == "batch", max_cost_usd=1.0)
        return make_profile("ada", f"sqlite:///{path}", settings)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("real") / "chats.db")


def test_profile_is_complete_and_cheap_when_the_real_api_is_asked(made: Made) -> None:
    assert (made.report.status, made.report.failures) == ("complete", {})
    assert 0 < made.report.total.usd < 0.05
    assert [version.kind for version in made.versions] == ["full", "quick"]


def test_most_of_what_was_told_is_found_with_its_message_when_the_real_api_is_asked(made: Made) -> None:
    found = [word for word, text in TOLD.items() if any(word in f.statement and f.quote in text for f in made.facts)]
    assert len(found) >= 6, f"only {found}"


def test_every_quote_stands_in_its_message_when_the_real_api_is_asked(made: Made) -> None:
    assert made.facts
    for fact in made.facts:
        assert normalised(fact.quote) in normalised(SAID[fact.node_id])
        assert not {"dentist", "Oslo", "parrots"}.intersection(fact.statement.split())


def test_nothing_is_asked_again_when_nothing_has_changed(made: Made) -> None:
    assert made.again.total.requests == 0
