"""`ray-import show`: a stored conversation as it was, to be read."""

import re
import sys
from contextlib import closing
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import unquote

import orjson
import typer

from ray_import.chunks.rows import MessageRow
from ray_import.errors import ConfigError
from ray_import.sink.destination import parse_destination
from ray_import.sink.reading import Reading, StoredConversation
from ray_import.terminal import options as o
from ray_import.terminal.conversation import as_markdown, printable, show_conversation
from ray_import.terminal.streams import print_json, stderr, stdout
from ray_import.terminal.tables import show_conversations

MOST_LISTED = 20

_LINK = re.compile(r"<?(?i:(?:https?://)?(?:www\.)?(?:chatgpt\.com|chat\.openai\.com))/(?:[^?#\s]*/)?c/([^/?#\s>]+)")


def show(
    conversation: Annotated[
        str, typer.Argument(metavar="CONVERSATION", help="Id, beginning of an id, link, or words of the title.")
    ],
    to: o.ToOption = o.DEFAULT_DESTINATION,
    user_id: o.OnlyUserOption = None,
    thread: Annotated[
        str | None, typer.Option("--thread", metavar="THREAD", help="Only this thread: main, or the name of a branch.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Print Markdown, with the texts as they are stored.")] = False,
    as_json: o.JsonOption = False,
) -> None:
    """Show a stored conversation: each message once, in order, with its branches."""
    with o.errors_told(), o.failure_in_json(as_json):
        if raw and as_json:
            raise ConfigError("--raw and --json exclude each other.", "Use one of them.")
        with closing(parse_destination(to).open(create=False)) as sink:
            found = _the_one_of(_found(sink, user_id, conversation), conversation)
            messages = _of_thread(sink.messages(found.user_id, found.product, found.conversation_id), thread)
        if as_json:
            _print_json(found, messages)
        elif raw:
            text = as_markdown(found, messages, printable if sys.stdout.isatty() else str)
            sys.stdout.buffer.write(text.encode(errors="replace"))
        else:
            show_conversation(stdout, found, messages)


def _found(sink: Reading, user_id: str | None, wanted: str) -> list[StoredConversation]:
    wanted = wanted.encode(errors="replace").decode().strip()
    link = _LINK.match(wanted)
    if link is None:
        return sink.conversations(user_id, wanted, MOST_LISTED + 1)
    conversation_id = unquote(link[1])
    if "\0" in conversation_id:  # which Postgres does not take
        return []
    found = sink.conversations(user_id, conversation_id, MOST_LISTED + 1)
    return [one for one in found if one.conversation_id == conversation_id]


def _the_one_of(found: list[StoredConversation], wanted: str) -> StoredConversation:
    """The only conversation of `found`, if its messages are stored. Raises ConfigError; several are listed first."""
    name = printable(wanted)
    if not found:
        raise ConfigError(
            f"No conversation matches {name}.",
            "Give its id, the beginning of that, its link or words of its title, and the --to of the import.",
        )
    if len(found) > 1:
        show_conversations(stderr, found[:MOST_LISTED])
        more = " These are the newest." if len(found) > MOST_LISTED else ""
        many = f"more than {MOST_LISTED}" if len(found) > MOST_LISTED else str(len(found))
        raise ConfigError(f"{name} matches {many} conversations.{more}", "Give the id of one of them, or --user-id.")
    (one,) = found
    if one.message_count and not one.has_messages:
        raise ConfigError(
            "The messages of this conversation are not stored.", "Import its export again without --no-messages."
        )
    return one


def _of_thread(messages: list[MessageRow], thread: str | None) -> list[MessageRow]:
    """The messages of the thread that is named, or whose name begins so. Raises ConfigError."""
    if thread is None:
        return messages
    names = dict.fromkeys(message.thread for message in messages)
    chosen = [name for name in names if name == thread] or [name for name in names if name.startswith(thread)]
    if len(chosen) != 1:
        what = "matches several threads" if chosen else "is not a thread of this conversation"
        listed = ", ".join(printable(name) for name in list(names)[:MOST_LISTED])
        raise ConfigError(f"--thread {printable(thread)} {what}.", f"Use one of: {listed}.")
    return [message for message in messages if message.thread == chosen[0]]


def _print_json(conversation: StoredConversation, messages: list[MessageRow]) -> None:
    facts: dict[str, Any] = {**asdict(conversation), "link": conversation.link}
    of_conversation = {"user_id", "product", "conversation_id", "import_id"}
    print_json(
        {
            "conversation": facts,
            "messages": [
                {
                    name: orjson.loads(value) if name == "attachments" else value
                    for name, value in message._asdict().items()
                    if name not in of_conversation
                }
                for message in messages
            ],
        }
    )
