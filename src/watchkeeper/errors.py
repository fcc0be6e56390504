"""The exception tree.

Every error says four things: what happened, what was given, what is accepted, what to do next.

    WatchkeeperError
    ├── SettingError      a setting, flag or argument that cannot be accepted (also ValueError)
    ├── DefinitionError   a dashboard, rule or route that contradicts the vocabulary or itself
    ├── QueryError        a PromQL, TraceQL or LogQL text that cannot be answered
    │   ├── QueryParseError    the text is not in the language; carries the position
    │   ├── QueryRefusedError  the text is valid, but asks for what this engine does not do
    │   └── QueryLimitError    answering would cross a named limit
    ├── IngestError       telemetry that cannot be taken in
    │   ├── PayloadError       the body is malformed: the sender must not retry
    │   ├── PayloadTooLargeError  the body crosses a size limit: the sender must not retry
    │   └── OverloadError      there is no room now: the sender should retry later
    ├── StoreError        the data directory cannot be used as it is
    ├── RuleFileError     a rule file that cannot be loaded; names file and line
    ├── EscalationFileError  an escalation.yml that cannot be loaded; names file and line
    ├── IncidentError     what a person asked of an incident cannot be done now
    ├── ConfigFileError   an alertmanager.yml that cannot be loaded; names file and line
    │   └── UnsupportedConfigError  it is valid, but asks for what this server does not do
    ├── MatcherError      a matcher on labels that cannot be read (also ValueError)
    ├── NotifyError       a notification that was not delivered; says whether a retry can help
    ├── SilenceError      a silence that cannot be accepted, or that is not there
    └── StartError        a process of ours that could not start (a port in use, for example)
"""

__all__ = [
    "ConfigFileError",
    "DefinitionError",
    "EscalationFileError",
    "IncidentError",
    "IngestError",
    "LogLevelError",
    "MatcherError",
    "NotifyError",
    "OverloadError",
    "PayloadError",
    "PayloadTooLargeError",
    "QueryError",
    "QueryLimitError",
    "QueryParseError",
    "QueryRefusedError",
    "RuleFileError",
    "SettingError",
    "SilenceError",
    "StartError",
    "StoreError",
    "UnsupportedConfigError",
    "WatchkeeperError",
]


class WatchkeeperError(Exception):
    """The root: catching it catches every error that watchkeeper raises on purpose."""

    @classmethod
    def explain(
        cls, what: str, *, got: object, accepted: str, next_step: str
    ) -> "WatchkeeperError":
        """Build an error from its four parts.

        Args:
            what: What happened, a clause without a full stop.
            got: What was given; shown by ``repr``, cut to 200 characters.
            accepted: What would have been accepted.
            next_step: What the reader can do now.

        Returns:
            An instance of the class this was called on; the caller raises it.
        """
        shown = repr(got)
        if len(shown) > 200:
            shown = shown[:197] + "..."
        return cls(f"{what}: got {shown}. Accepted: {accepted}. Next: {next_step}.")


class SettingError(WatchkeeperError, ValueError):
    """A setting, flag or argument cannot be accepted."""


class DefinitionError(WatchkeeperError):
    """A dashboard, rule or route contradicts the vocabulary or itself."""


class LogLevelError(WatchkeeperError):
    """Levels of loggers cannot be changed while the process runs."""


class QueryError(WatchkeeperError):
    """A query cannot be answered."""


class QueryParseError(QueryError):
    """The text of a query is not in its language.

    Attributes:
        position: Offset of the first offending character, counted from 0, or None if unknown.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class QueryRefusedError(QueryError):
    """The query is valid in its language, but this engine does not do what it asks."""


class QueryLimitError(QueryError):
    """Answering the query would cross a named limit (see `watchkeeper.vocabulary.limits`)."""


class IngestError(WatchkeeperError):
    """Telemetry cannot be taken in."""


class PayloadError(IngestError):
    """The body is malformed; sending it again cannot help."""


class PayloadTooLargeError(IngestError):
    """The body, counted after decompression, crosses a size limit; sending it again cannot help."""


class OverloadError(IngestError):
    """There is no room right now; the sender should try again later.

    Attributes:
        retry_after_s: Seconds after which a retry makes sense.
    """

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreError(WatchkeeperError):
    """The data directory cannot be used as it is; the message names the file and the remedy."""


class RuleFileError(WatchkeeperError):
    """A rule file cannot be loaded; the message names file and line."""


class EscalationFileError(WatchkeeperError):
    """An ``escalation.yml`` cannot be loaded; the message names file and line."""


class IncidentError(WatchkeeperError):
    """What a person asked of an incident cannot be done now.

    Attributes:
        reason: ``unknown`` (no such incident), ``conflict`` (its state does not allow it) or
            ``invalid`` (the request itself).
    """

    def __init__(self, message: str, reason: str = "conflict") -> None:
        super().__init__(message)
        self.reason = reason


class ConfigFileError(WatchkeeperError):
    """The file of routes and receivers cannot be loaded; the message names file and line."""


class UnsupportedConfigError(ConfigFileError):
    """The file is valid for Alertmanager, but holds what this server does not do; named."""


class MatcherError(WatchkeeperError, ValueError):
    """A matcher on labels cannot be read."""


class NotifyError(WatchkeeperError):
    """A notification was not delivered.

    Attributes:
        retryable: Whether sending the same notification again can help.
        retry_after_s: Seconds that the receiver asked us to wait, or None.
    """

    def __init__(
        self, message: str, *, retryable: bool, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class SilenceError(WatchkeeperError):
    """A silence cannot be accepted.

    Attributes:
        missing: Whether the reason is that no silence has the id.
    """

    def __init__(self, message: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


class StartError(WatchkeeperError):
    """A process of ours could not start."""
