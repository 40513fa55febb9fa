"""The conversations of one member, one after the other, as raw bytes."""

from collections.abc import Iterator
from contextlib import ExitStack

from ray_import.chatgpt.files import wrapper_keys
from ray_import.reader.items import Items
from ray_import.reader.locate import Shape, locate
from ray_import.reader.window import Window
from ray_import.records import Problem, RawConversation, trailing_data
from ray_import.settings import ReadLimits
from ray_import.source.export import Member
from ray_import.source.reasons import in_words
from ray_import.source.streams import DAMAGE

MOST_NAME_CHARACTERS = 200
"""Of a member's name, its end: a ZIP allows 64 KB, and it is kept with every reject."""


def read_conversations(member: Member, limits: ReadLimits) -> Iterator[RawConversation | Problem]:
    """Gives every item of `member` in order, good or damaged, and what was wrong with the whole.

    At most `max_conversation_bytes` and a window are held. Items are cut, not parsed: what they are is
    for the extraction to say. In places, a member's name is shortened to its last 200 characters.
    """
    name = member.name if len(member.name) <= MOST_NAME_CHARACTERS else f"…{member.name[1 - MOST_NAME_CHARACTERS :]}"
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(member.open())
        except DAMAGE as error:
            yield Problem("damaged", name, f"it cannot be opened: {in_words(error)}")
            return
        window = Window(stream, limits.window_bytes, DAMAGE, limits.max_conversation_bytes)
        shape = locate(window, wrapper_keys(member.name))
        if shape is Shape.OTHER:
            yield Problem("not_json", name, "the member does not begin with [ or {")
        else:
            if shape is Shape.DAMAGED_WRAPPER:
                yield Problem("damaged", name, "the data before the conversations is not valid JSON")
            yield from Items(name, window, limits, shape).read()
        if window.failure:
            yield Problem("damaged", name, f"reading stopped at byte {window.offset:,}: {window.failure}")
        if window.trailing:
            yield trailing_data(name)
