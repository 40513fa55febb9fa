#!/usr/bin/env bash
# Response.iter_lines() of httpx and httpx2, and of the Anthropic SDK, cuts a line of JSON in two at U+2028 or U+0085.
#
# Versions: httpx 0.28.1, httpx2 2.16.2, anthropic 2.14.0, Python 3.11 to 3.13.
# Guess:    a body of JSON lines (NDJSON) is read with iter_lines() and json.loads(), a line at a time: a line ends with
#           a newline, and JSON has no newline inside of a string.
# Seen:     - The bytes are decoded first and cut like str.splitlines() does: also at U+0085, U+2028 and U+2029, which
#             JSON allows in a string as they are (json.dumps(…, ensure_ascii=False), JavaScript and Go write some of
#             them so). One line of JSON becomes two pieces, and json.loads() raises an error at both.
#           - anthropic's with_streaming_response.results(…).iter_lines() does the same with the results of a batch;
#             the SDK's own batches.results(…), which cuts bytes, reads them right.
#           - Cutting the bytes of iter_bytes() at b"\n" reads every line.
# Why:      U+2028 comes with text that is pasted from PDF files and word processors, so it is in chats, and in answers
#           about them. A result that was paid for cannot be read, always the same one, and reading it again changes
#           nothing; code that skips lines that are not JSON loses it without a trace.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'anthropic==2.14.0' 'httpx2==2.16.2' 'httpx==0.28.1'
env -u http_proxy -u HTTP_PROXY -u all_proxy -u ALL_PROXY "$work/venv/bin/python" - <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic
import httpx
import httpx2

TEXTS = ["plain", "pasted\u2028from a PDF", "next\u0085line", "last"]


def line(number, text):
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-5-5",
        "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    result = {"custom_id": f"r{number}", "result": {"type": "succeeded", "message": message}}
    return json.dumps(result, ensure_ascii=False) + "\n"


class Api(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.endswith("/results"):
            body = "".join(line(number, text) for number, text in enumerate(TEXTS))
        else:
            counts = {"processing": 0, "succeeded": len(TEXTS), "errored": 0, "canceled": 0, "expired": 0}
            body = json.dumps({
                "id": "b", "type": "message_batch", "processing_status": "ended", "request_counts": counts,
                "created_at": "2026-11-30T00:00:00Z", "expires_at": "2026-12-01T00:00:00Z",
                "ended_at": "2026-11-30T00:01:00Z", "archived_at": None, "cancel_initiated_at": None,
                "results_url": f"{url}/v1/messages/batches/b/results",
            })
        self.send_response(200)
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def texts_of(lines):
    found = []
    for each in lines:
        try:
            found.append(json.loads(each)["result"]["message"]["content"][0]["text"])
        except json.JSONDecodeError:
            found.append(None)
    return found


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
results = f"{url}/v1/messages/batches/b/results"
CUT = ["plain", None, None, None, None, "last"]

for library in (httpx, httpx2):
    with library.stream("GET", results) as response:
        assert texts_of(response.iter_lines()) == CUT, library
    with library.stream("GET", results) as response:
        assert texts_of(b"".join(response.iter_bytes()).rstrip(b"\n").split(b"\n")) == TEXTS, library

batches = anthropic.Anthropic(api_key="none", base_url=url, max_retries=0).messages.batches
with batches.with_streaming_response.results("b") as response:
    assert texts_of(response.iter_lines()) == CUT
assert [each.result.message.content[0].text for each in batches.results("b")] == TEXTS
print("as stated")
PYTHON
