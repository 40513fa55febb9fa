"""Everything that can end an import, or one conversation, in one small tree.

    ImporterError                exit code 3
    ├─ ConfigError               exit code 2: an option, a setting or a path that cannot be
    │  ├─ NothingToProfile       the user has no stored messages that a profile could be made of
    │  └─ WorkerNotConfigured    this process lacks a setting: no job is to blame
    ├─ SourceError               the export cannot be read
    │  ├─ NotAnExport            it is something else: another product's export, a web page, nothing
    │  ├─ UnsupportedFormat      its encoding, or the method that packs it, is one that is not read
    │  ├─ UnsafeArchive          encrypted, or made to exhaust who opens it
    │  │  └─ UnsafeSource        all archives of a source are too much together: nothing of it is read
    │  ├─ ResourcesExhausted     this process or machine can open no more files: nothing of it can be read
    │  └─ SourceRefused          a server does not give it, or not any more: nothing of it can be read
    │     ├─ SourceUnavailable   not for the moment: worth another try
    │     ├─ SourceSlow          its server is slow: it is read again where slow servers hold up nobody
    │     └─ SourceNotAllowed    the rules for lists of users forbid it
    ├─ RecordError               one conversation cannot be read: it becomes a reject
    ├─ SinkError                 the destination refuses for good
    │  ├─ SinkBusy               it is taken, or away, for the moment: worth another try
    │  ├─ SinkOverloaded         what it was given is too much at once: worth another try in smaller parts
    │  ├─ RowsRefused            it refuses what is in the rows: the conversation to blame becomes a reject
    │  └─ EverythingRefused      it refuses whatever the import brings, with one code: no conversation is to blame
    ├─ ModelError              the model's API refuses for good: a key, an address, a spend limit
    │  ├─ ModelBusy             it is taken, or away, for the moment: worth another try
    │  ├─ ModelRejected         it refuses what it was sent, at no charge: worth another try in smaller parts
    │  └─ ModelOutcomeUnknown   the answer was lost: what was sent may have been done, and be charged
    ├─ CostReached              the next request could cost more than is allowed
    ├─ ImportRunning             exit code 2: another import of the same user, or run over the same, is at it
    ├─ LeaseLost                 another import, or run, has taken this one's place
    ├─ ClusterError              Ray cannot be reached, or gives no workers
    │  └─ PayloadLost            what was read is gone, or found no room: worth reading again
    ├─ ResultsNotWritten         standard output is full, say
    └─ Interrupted               somebody asked to stop

An error carries ids and places, never the words of a conversation. It is made of positional
strings alone, so that it crosses process borders whole; a foreign error is translated where it
is met and cut off there (`from None`), because its text may hold what a user wrote.
"""

from typing import ClassVar


class ImporterError(Exception):
    """What happened and where (`message`), and what to do about it (`hint`, may be empty)."""

    exit_code: ClassVar[int] = 3
    retry: ClassVar[bool] = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ConfigError(ImporterError):
    exit_code = 2


class NothingToProfile(ConfigError):
    pass


class WorkerNotConfigured(ConfigError):
    pass


class SourceError(ImporterError):
    pass


class NotAnExport(SourceError):
    pass


class UnsupportedFormat(SourceError):
    pass


class UnsafeArchive(SourceError):
    pass


class UnsafeSource(UnsafeArchive):
    pass


class ResourcesExhausted(SourceError):
    pass


class SourceRefused(SourceError):
    pass


class SourceUnavailable(SourceRefused):
    """`retry_after_seconds` is for how long the server asks to be left alone, 0 where it does not say."""

    retry = True
    retry_after_seconds: float = 0.0


class SourceSlow(SourceRefused):
    """Raised only where the reader was told to give up a slow source (see `Waiting`)."""


class SourceNotAllowed(SourceRefused):
    pass


class RecordError(ImporterError):
    """`message` is the reject's reason: one word that can be counted."""


def reject_reason(error: Exception) -> str:
    """Why one conversation becomes a reject: a fault of ours, too, costs one conversation alone."""
    return error.message if isinstance(error, RecordError) else f"fault:{type(error).__name__}"


class SinkError(ImporterError):
    """`code` is the destination's own, where it tells one."""

    def __init__(self, message: str, hint: str = "", code: str = "") -> None:
        super().__init__(message, hint)
        self.args = (message, hint, code)
        self.code = code


class SinkBusy(SinkError):
    """`retry_after_seconds` is what the destination asks for, 0 where it does not say."""

    retry = True

    def __init__(self, message: str, hint: str = "", retry_after_seconds: float = 0.0, code: str = "") -> None:
        super().__init__(message, hint, code)
        self.args = (message, hint, retry_after_seconds, code)
        self.retry_after_seconds = retry_after_seconds


class SinkOverloaded(SinkError):
    """`code` is 57014, a status of HTTP, or timeout."""


class RowsRefused(SinkError):
    pass


class EverythingRefused(SinkError):
    pass


class ModelError(ImporterError):
    pass


class ModelBusy(ModelError):
    """`retry_after_seconds` is for how long the API asks to be left alone, 0 where it does not say. `is_rate_limit`:
    a limit of the key was passed, so that all its requests have to wait."""

    retry = True
    retry_after_seconds: float = 0.0
    is_rate_limit: bool = False


class ModelRejected(ModelError):
    pass


class ModelOutcomeUnknown(ModelError):
    pass


class CostReached(ImporterError):
    pass


class ImportRunning(ImporterError):
    exit_code = 2


class LeaseLost(ImporterError):
    pass


class ClusterError(ImporterError):
    pass


class PayloadLost(ClusterError):
    retry = True


class ResultsNotWritten(ImporterError):
    pass


class Interrupted(ImporterError):
    pass


def may_pass(error: ImporterError) -> bool:
    """Whether the same work may succeed later: besides the errors with `retry`, the user or the lease is taken for the
    moment, the cluster is away, or somebody asked to stop."""
    return error.retry or isinstance(error, (ImportRunning, LeaseLost, ClusterError, Interrupted))
