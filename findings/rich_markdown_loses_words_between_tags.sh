#!/usr/bin/env bash
# Rich's Markdown drops every word of an HTML block, and the <...> of generic types, without a trace.
#
# Versions: rich 15.0.0 with markdown-it-py 4.3.0, Python 3.11 to 3.13.
# Guess:    a terminal has no HTML, so tags are printed as they stand, or are removed while the words between them stay.
# Seen:     - The words between inline tags stay: `a <b>bold</b> c` prints `a bold c`.
#           - A block that begins with a tag is lost as a whole, up to the next empty line: of
#             `<details>`, `The answer is 42.`, `</details>` nothing is printed.
#           - `List<String>` in prose prints `List`: whatever looks like a tag is one. `<stdio.h>` does not, and stays.
#           - With a parser that does not know HTML (MarkdownIt("commonmark", {"html": False})) all words are printed.
#             Rich has no option for it: its attribute `parsed` has to be set anew.
# Why:      programs print the answers of language models with this class. These hold <details>, XML and generic types
#           outside of code every day, and what is missing leaves no gap that a reader could see.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'rich==15.0.0' 'markdown-it-py==4.3.0'
"$work/venv/bin/python" - <<'PYTHON'
import io

from markdown_it import MarkdownIt
from rich.console import Console
from rich.markdown import Markdown


def printed(text, parser=None):
    rendered = Markdown(text)
    if parser is not None:
        rendered.parsed = parser.parse(text)
    out = io.StringIO()
    Console(file=out, width=80).print(rendered)
    return " ".join(out.getvalue().split())


BLOCK = "Before.\n\n<details>\nThe answer is 42.\n</details>\n\nAfter."

assert printed("a <b>bold</b> c") == "a bold c"
assert printed(BLOCK) == "Before. After."
assert printed("Use List<String> here.") == "Use List here."
assert printed("Write #include <stdio.h> first.") == "Write #include <stdio.h> first."

without_html = MarkdownIt("commonmark", {"html": False})
assert printed(BLOCK, without_html) == "Before. <details> The answer is 42. </details> After."
assert printed("Use List<String> here.", without_html) == "Use List<String> here."
print("as stated")
PYTHON
