"""The REST part: what PostgREST is behind /rest/v1, for the subset that an importer and its tests use."""

from dataclasses import dataclass

from tests.support.gateway.calls import Answer, Call, Refused, rest_error
from tests.support.gateway.database_errors import RETRIED_WITHOUT_END
from tests.support.gateway.keys import Project, rest_caller
from tests.support.gateway.pool import Pool
from tests.support.gateway.preferences import check_schema
from tests.support.gateway.reads import read
from tests.support.gateway.rpc import call_function
from tests.support.gateway.writes import delete, insert, update

PREFIX = "/rest/v1/"
RETRY_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Rest:
    """Tables and functions of the schema public of one database."""

    project: Project
    pool: Pool
    max_rows: int

    def answer(self, call: Call) -> Answer:
        """The answer to a request under /rest/v1/; raises Refused with that to one that fails.

        A transaction that fails with 40001 or 40P01 is repeated until it does not, or until the stand-in is closed.
        """
        while True:
            try:
                return self._answer(call)
            except Refused as refused:
                if refused.sqlstate not in RETRIED_WITHOUT_END or self.pool.closing.wait(RETRY_SECONDS):
                    raise

    def _answer(self, call: Call) -> Answer:
        caller = rest_caller(self.project, call.headers)
        check_schema(call)
        name = call.path.removeprefix(PREFIX)
        if name.startswith("rpc/") and call.method == "POST":
            return call_function(self.pool, caller, call, name.removeprefix("rpc/"))
        if call.method in ("GET", "HEAD"):
            return read(self.pool, caller, call, name, self.max_rows)
        writers = {"POST": insert, "PATCH": update, "DELETE": delete}
        if call.method not in writers or "/" in name:
            raise Refused(rest_error(405, "PGRST117", f"Unsupported HTTP method: {call.method}"))
        return writers[call.method](self.pool, caller, call, name)
