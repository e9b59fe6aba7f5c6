"""Every error xintu raises on purpose, and the exit code each one ends a run with.

    XintuError
    ├── UsageError              2   the command line asks for something that cannot be
    ├── RootMissingError       66   a path that was given does not exist
    ├── OutputError            73   an output file cannot be written
    ├── StorageError           74   reading or writing the cache, the index or a root failed
    │   └── DamagedError            a database file is damaged; it is left as it is
    ├── TryLaterError          75   another run holds the lock
    │   └── CacheUnreachableError   the cache's server does not answer
    ├── CredentialsError       77   a key or a password is refused
    ├── ConfigurationError     78   settings, taxonomy or price table are wrong
    │   ├── SchemaError             the cache was written by a newer (or unknown) xintu
    │   │   └── OldSchemaError          by an older one: `xintu cache migrate` renews it
    │   └── ModelFileError          the local model's files are missing, damaged or lie
    ├── PhotoError                  ends one photo, never the run
    │   ├── UnreadablePhotoError        counted as failed, remembered with its reason
    │   ├── UnansweredPhotoError        every classifier gave up on it: it stays pending
    │   │   └── LeaseLostError          its claim ran out before it was sent
    │   ├── ChangedPhotoError           its bytes are not those that were looked up
    │   └── VanishedPhotoError          gone between the walk and the read: skipped
    └── ProviderError          69   one provider, one call; carries its attempts
        ├── BudgetReachedError      --max-calls or --max-cost: nobody is asked any more
        ├── NoProviderLeftError     all have stopped and no local model stands in: nobody is left
        ├── ProviderUnavailableError    try again later (time-outs, 5xx, throttling)
        │   └── ProviderDownError       down for longer than photos wait: nothing was sent
        ├── ProviderRejectedError       this photo never (content policy, too large)
        │   └── RequestFormError            not in this form: ask again, the next one is simpler
        ├── AnswerError                 the reply cannot be understood
        └── ProviderStoppedError        this provider never (credentials, money)

78 is what only a change of configuration mends, known before anything is tried: a policy that
asks an LLM without a provider among it. 69 is everybody who was asked having failed.

A message says what failed, with what, and what to do:
``cannot read the taxonomy pets.toml: line 3 has no key. Add `key = "…"` to the category.``
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xintu_cli.records import Attempt, Refusal


class ExitCode(IntEnum):
    """What the process ends with; 64 and above follow BSD's sysexits.h."""

    DONE = 0
    BUG = 1
    USAGE = 2
    SOME_FAILED = 3
    SOME_PENDING = 4
    ROOT_MISSING = 66
    NO_CLASSIFIER = 69
    OUTPUT = 73
    STORAGE = 74
    TRY_LATER = 75
    CREDENTIALS = 77
    CONFIGURATION = 78


class XintuError(Exception):
    """The root of the tree; `exit_code` is what the process ends with if nobody catches it."""

    exit_code: ExitCode = ExitCode.BUG


class UsageError(XintuError):
    """The command line asks for something that cannot be."""

    exit_code = ExitCode.USAGE


class RootMissingError(XintuError):
    """A path that was given does not exist."""

    exit_code = ExitCode.ROOT_MISSING


class OutputError(XintuError):
    """An output file cannot be written."""

    exit_code = ExitCode.OUTPUT


class StorageError(XintuError):
    """Reading or writing the cache, the index or a root failed."""

    exit_code = ExitCode.STORAGE


class DamagedError(StorageError):
    """A database file is damaged; it is left as it is."""


class TryLaterError(XintuError):
    """Nothing is wrong but the moment: another run holds the lock."""

    exit_code = ExitCode.TRY_LATER


class CacheUnreachableError(TryLaterError):
    """The cache's server does not answer."""


class CredentialsError(XintuError):
    """A key or a password is refused."""

    exit_code = ExitCode.CREDENTIALS


class ConfigurationError(XintuError):
    """Settings, a taxonomy, a price table or a manifest are wrong."""

    exit_code = ExitCode.CONFIGURATION


class SchemaError(ConfigurationError):
    """The cache was written by a newer (or unknown) xintu."""


class OldSchemaError(SchemaError):
    """The cache was written by an older xintu, and is shared: to renew it is a decision."""


class ModelFileError(ConfigurationError):
    """The local model's files are missing, damaged, or not what their manifest says."""


class PhotoError(XintuError):
    """One photo cannot go on; the run can. `str(error)` is the reason people read."""

    exit_code = ExitCode.SOME_FAILED


class UnreadablePhotoError(PhotoError):
    """The file cannot be read as a photo; remembered with its stat and reason if `lasting`.

    Not lasting: the reason is not in the content (a permission, a disk's error, a limit that
    may be raised), so the next run must look again. `root_gone`: the file system that holds
    the file does not answer (a share or a disk went away); several in a row end the run.
    """

    def __init__(self, reason: str, *, lasting: bool = True, root_gone: bool = False) -> None:
        super().__init__(reason)
        self.lasting = lasting
        self.root_gone = root_gone


class UnansweredPhotoError(PhotoError):
    """Every classifier gave up on this photo; a later run will try it again."""

    def __init__(
        self,
        reason: str,
        attempts: tuple[Attempt, ...] = (),
        refusals: tuple[Refusal, ...] = (),
    ) -> None:
        super().__init__(reason)
        self.attempts = attempts
        self.refusals = refusals


class LeaseLostError(UnansweredPhotoError):
    """This run's claim on the photo ran out: it was not sent, another run may be paying."""


class ChangedPhotoError(PhotoError):
    """The file's bytes are not those that were looked up: it goes back to be hashed."""


class VanishedPhotoError(PhotoError):
    """The file was gone when it was opened."""


class ProviderError(XintuError):
    """A call to a provider failed; `attempts` is what was sent, and perhaps paid for.

    `refusals`: by other providers that were asked before.
    """

    exit_code = ExitCode.NO_CLASSIFIER

    def __init__(self, message: str, attempts: tuple[Attempt, ...] = ()) -> None:
        super().__init__(message)
        self.attempts = attempts
        self.refusals: tuple[Refusal, ...] = ()


class BudgetReachedError(ProviderError):
    """`--max-calls` or `--max-cost` is reached: nothing was sent, and nothing more will be."""

    exit_code = ExitCode.SOME_PENDING


class NoProviderLeftError(ProviderError):
    """Every provider has stopped or was never there, and no local model stands in.

    `exit_code` is that of the gravest cause: credentials, configuration, else unavailable.
    """

    def __init__(
        self, message: str, attempts: tuple[Attempt, ...] = (), *, exit_code: ExitCode
    ) -> None:
        super().__init__(message, attempts)
        self.exit_code = exit_code


class ProviderUnavailableError(ProviderError):
    """Try again later: a time-out, a 5xx, throttling, a broken connection.

    `retry_after_seconds` is the vendor's word (None: it said nothing); `throttled` tells
    "too many requests" from "down"; `outcome_unknown` says that the request left and no
    reply came, so it may have been billed; `unreachable` that the host cannot be reached
    at all (refused, unknown).
    """

    def __init__(
        self,
        message: str,
        attempts: tuple[Attempt, ...] = (),
        *,
        retry_after_seconds: float | None = None,
        throttled: bool = False,
        outcome_unknown: bool = False,
        unreachable: bool = False,
    ) -> None:
        super().__init__(message, attempts)
        self.retry_after_seconds = retry_after_seconds
        self.throttled = throttled
        self.outcome_unknown = outcome_unknown
        self.unreachable = unreachable


class ProviderDownError(ProviderUnavailableError):
    """It has been down for longer than photos are to wait for it: nothing was sent."""


class ProviderRejectedError(ProviderError):
    """This provider will never take this photo: content policy, size, format.

    `too_large` is worth one smaller encoding. `lasting` False: it refused the request rather
    than the photo, so the refusal is not to be remembered for later runs.
    """

    def __init__(
        self,
        message: str,
        attempts: tuple[Attempt, ...] = (),
        *,
        too_large: bool = False,
        lasting: bool = True,
    ) -> None:
        super().__init__(message, attempts)
        self.too_large = too_large
        self.lasting = lasting


class RequestFormError(ProviderRejectedError):
    """The server does not know a part of the request, and the next one will be without it.

    Ask again at once: nothing was done and nothing billed, and it happens a few times a run.
    """

    def __init__(self, message: str, attempts: tuple[Attempt, ...] = ()) -> None:
        super().__init__(message, attempts, lasting=False)


class AnswerError(ProviderError):
    """The reply cannot be understood: not JSON, no category, a category off the list."""

    def __init__(
        self, message: str, attempts: tuple[Attempt, ...] = (), *, off_list: bool = False
    ) -> None:
        super().__init__(message, attempts)
        self.off_list = off_list


class ProviderStoppedError(ProviderError):
    """This provider will answer nothing more in this run: credentials refused, money gone.

    `misconfigured`: what the user configured (model, address, a request this server does not
    take) cannot work there.
    """

    exit_code = ExitCode.CREDENTIALS

    def __init__(
        self,
        message: str,
        attempts: tuple[Attempt, ...] = (),
        *,
        out_of_money: bool = False,
        misconfigured: bool = False,
    ) -> None:
        super().__init__(message, attempts)
        self.out_of_money = out_of_money
        self.misconfigured = misconfigured
        if out_of_money:
            self.exit_code = ExitCode.NO_CLASSIFIER
        elif misconfigured:
            self.exit_code = ExitCode.CONFIGURATION
