"""`ray-import show`: a stored conversation as it was, to be read."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import orjson
from rich.console import Console
from rich.text import Text

from ray_import.chatgpt.graph import MAIN
from ray_import.chunks.rendering import quoted_lines
from ray_import.chunks.rows import MessageRow
from ray_import.cli.output import paged
from ray_import.cli.tables import minute_of
from ray_import.destinations.reading import StoredConversation

if TYPE_CHECKING:
    from rich.markdown import Markdown
import sys
from contextlib import closing
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import unquote

import typer

from ray_import.cli import options as o
from ray_import.cli.output import print_json, stderr, stdout
from ray_import.cli.tables import show_conversations
from ray_import.destinations.reading import Reading
from ray_import.destinations.registry import parse_destination
from ray_import.errors import ConfigError

LONGEST_RENDERED_CHARACTERS = 200_000
"""A longer text is shown as it is: rendering takes a second per MB, and much memory."""

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*+[ -/]*+[@-~]|[\]PX^_][^\x07\x1b\n]*+(?:\x07|\x1b\\))")
"""Control sequences and strings of a terminal (ECMA-48), complete ones in one line, as 7 bits write them: U+009D and
U+009C are more often curly quotes that were decoded wrongly."""
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


def printable(text: str) -> str:
    """`text` without escape sequences and control characters but line breaks and tabs: safe on a terminal."""
    if text.isprintable():
        return text
    return _SEQUENCE.sub("", text).translate(_CONTROLS)


def as_markdown(
    conversation: StoredConversation, messages: Sequence[MessageRow], cleaned: Callable[[str], str] = str
) -> str:
    """The conversation as a Markdown document; the texts as they are stored, or each as `cleaned` gives it."""
    parts = [f"# {conversation.title or 'Untitled'}", "\n".join(facts_of(conversation))]
    for message, heading in zip(messages, headings_of(messages), strict=True):
        parts += [f"## {heading}", f"{_before_text(message)}{message.text}"]
    return "\n\n".join(map(cleaned, parts)) + "\n"


def facts_of(conversation: StoredConversation) -> Iterator[str]:
    """What is known of the conversation: its link and id, then the rest in one line."""
    yield conversation.link or conversation.conversation_id
    times = [minute_of(time) for time in (conversation.create_time, conversation.update_time) if time is not None]
    facts = [
        f"{' to '.join(dict.fromkeys(times))} UTC" if times else "",
        conversation.model or "",
        f"{conversation.message_count:,} {'message' if conversation.message_count == 1 else 'messages'}",
        "starred" if conversation.is_starred else "",
        "archived" if conversation.is_archived else "",
        f"project {conversation.project}" if conversation.project else "",
        f"memory {conversation.memory_scope}" if conversation.memory_scope else "",
    ]
    yield " · ".join(fact for fact in facts if fact)


def headings_of(messages: Sequence[MessageRow]) -> Iterator[str]:
    """For each message its number, author, model, time and branch, and the number of the message that it answers: where
    a branch begins, and where that is not the message before it."""
    numbers = {message.node_id: message.position + 1 for message in messages}
    threads: set[str] = set()
    before: MessageRow | None = None
    for message in messages:
        number = numbers.get(message.parent_id or "")
        is_side = message.thread != MAIN
        begins_branch = is_side and message.thread not in threads
        threads.add(message.thread)
        after = ""
        if number is not None and (begins_branch or before is None or message.parent_id != before.node_id):
            after = f"branches from {number}" if begins_branch else f"after {number}"
        parts = [
            f"{message.position + 1}. {message.role.capitalize()}",
            message.model or "",
            f"{minute_of(message.created_at)} UTC" if message.created_at else "",
            f"branch {message.thread}" if is_side else "",
            after,
        ]
        yield " · ".join(part for part in parts if part)
        before = message


def show_conversation(console: Console, conversation: StoredConversation, messages: Sequence[MessageRow]) -> None:
    """Prints the conversation: rendered and paged on a terminal, else as Markdown.

    No control character of a stored text is printed.
    """
    if not console.is_terminal:
        console.file.write(as_markdown(conversation, messages, printable))
        return
    paged(console, _rendered(console, conversation, messages))


def _rendered(console: Console, conversation: StoredConversation, messages: Sequence[MessageRow]) -> Iterator[str]:
    with console.capture() as captured:
        console.print(Text(printable(conversation.title) or "Untitled", style="bold underline"))
        for fact in facts_of(conversation):
            console.print(Text(printable(fact), style="dim"))
    yield captured.get()
    for message, heading in zip(messages, headings_of(messages), strict=True):
        with console.capture() as captured:
            console.print()
            console.print(Text(printable(heading), style="bold cyan" if message.role == "user" else "bold green"))
            if before := printable(_before_text(message)).rstrip("\n"):
                console.print(Text(before, style="dim"))
                console.print()
        yield captured.get()
        yield _body(console, message)


def _body(console: Console, message: MessageRow) -> str:
    """An assistant's Markdown is rendered; a user's words are shown as typed."""
    text = printable(message.text)
    if message.role != "user" and len(text) <= LONGEST_RENDERED_CHARACTERS:
        try:
            with console.capture() as captured:
                console.print(_markdown(text))
            return captured.get()
        except Exception:  # noqa: BLE001, S110 - whatever the renderer cannot take is shown as it is
            pass
    with console.capture() as captured:
        console.print(Text(text))
    return captured.get()


def _markdown(text: str) -> "Markdown":
    """Without HTML, which would not be shown, and without links that a terminal hides behind their words."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 - only `show` on a terminal needs these
    from rich.markdown import Markdown  # noqa: PLC0415

    rendered = Markdown("", hyperlinks=False)
    parser = MarkdownIt("commonmark", {"html": False}).enable("strikethrough").enable("table")
    rendered.markup, rendered.parsed = text, parser.parse(text)
    return rendered


def _before_text(message: MessageRow) -> str:
    names = orjson.loads(message.attachments)
    attached = f"[attached: {', '.join(names)}]\n\n" if names else ""
    return attached + quoted_lines(message.quoted) if message.quoted else attached


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
    with o.report_errors(), o.failure_in_json(as_json):
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
