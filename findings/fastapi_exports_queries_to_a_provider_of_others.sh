#!/usr/bin/env bash
# FastAPI sends query strings and the texts of exceptions to an OpenTelemetry provider that was set up for others.
#
# Versions: fastapi 0.165.0, starlette 1.10.0, opentelemetry-sdk 1.45.2.
# Guess:    without an instrumentation package, or a setting in FastAPI(), nothing of an application is recorded. A
#           tracer provider that the process sets up, for its database or its model's client, gets the spans of those.
# Seen:     FastAPI itself takes the global providers, by default. Each request becomes a span whose url.query is the
#           whole query string, and an exception that nobody handled a log record with its text and its traceback.
#           FastAPI(telemetry={"tracing": False, "logs": False, "operation_spans": False}) turns that off. Only the
#           exporters that FastAPI would add itself are off by default (auto_configure).
# Why:      a signed link, a token or a user's id in a query, and the row or words that an exception quotes, leave the
#           machine for whatever collector was meant for the other library's spans, after an upgrade alone.
set -euo pipefail
work=$(mktemp -d /tmp/rf.XXXX)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'fastapi==0.165.0' 'starlette==1.10.0' 'httpx==0.28.1' 'opentelemetry-sdk==1.45.2'
cat > "$work/app.py" <<'PYTHON'
import sys
import warnings

warnings.simplefilter("ignore")
from fastapi import FastAPI
from fastapi.testclient import TestClient
from opentelemetry import _logs, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs import export as log_export
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans, logs = InMemorySpanExporter(), log_export.InMemoryLogRecordExporter()
traces, records = TracerProvider(), LoggerProvider()
traces.add_span_processor(SimpleSpanProcessor(spans))
records.add_log_record_processor(log_export.SimpleLogRecordProcessor(logs))
trace.set_tracer_provider(traces)
_logs.set_logger_provider(records)

off = {"tracing": False, "logs": False, "operation_spans": False}
app = FastAPI(telemetry=off) if sys.argv[1] == "off" else FastAPI()


@app.get("/rows")
def rows(token: str) -> None:
    raise LookupError("planted-row")


TestClient(app, raise_server_exceptions=False).get("/rows?token=planted-token")
found = [str(dict(span.attributes)) for span in spans.get_finished_spans()]
found += [str(dict(record.log_record.attributes)) for record in logs.get_finished_logs()]
print(*(word for word in ("planted-token", "planted-row") if any(word in text for text in found)))
PYTHON
run() { env -u FASTAPI_OTEL_AUTO_CONFIGURE -u OTEL_SDK_DISABLED "$work/venv/bin/python" "$work/app.py" "$1" 2> /dev/null; }
[ "$(run default)" = "planted-token planted-row" ] || { echo "the defaults: not as stated"; exit 1; }
[ -z "$(run off)" ] || { echo "turned off: not as stated"; exit 1; }
echo "as stated"
