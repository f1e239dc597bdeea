"""The exceptions of the plane, classed by what the caller must do.

    TrueupError
    ├── SettingsError        the operator must correct a setting; nothing was started
    │   └── SecretNotGivenError  the System policy gives no secret of that name; what takes it is not set up
    ├── PolicyError          the author must correct a policy document; nothing was changed
    ├── NotFoundError        the caller named something that is not there
    ├── ConflictError        the caller's base has moved; read again and decide
    │   └── StaleError         what the caller has seen is not what is there; read again, nothing was done
    ├── ForbiddenError       the caller lacks the right; ask somebody who has it
    │   ├── SignInError        whoever came by OpenID Connect is not let in
    │   └── StepUpError        the caller has the right, and must first prove anew who it is
    ├── BadInputError        the caller must correct the record; nothing was stored
    │   └── MalformedError     a request breaks the API's contract, which openapi.json tells
    ├── OverloadedError      the caller must send again after `retry_after` seconds; nothing was stored
    ├── SealError            what is sealed cannot be opened, by anybody: its key is destroyed, or it was tampered with
    │   └── KeyMissingError    the operator must give this process the keys; nothing was changed, and it is tried again
    └── ConnectorError       talking to a system went wrong
        ├── UnavailableError   try later; nothing took effect
        │   └── BlockedAddressError  nothing was sent; the endpoint or `internal` of the System policy has to be corrected
        ├── ThrottledError     try after `retry_after` seconds; nothing took effect
        ├── RejectedError      the request is wrong and will stay wrong; a person must look
        ├── UnknownOutcomeError  the request left and its effect is not known; read back before any retry
        └── UnreadableError    the system answered what its contract does not allow

Every message names the thing, the rule and the remedy.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


class TrueupError(Exception):
    """Base of all errors the plane raises on purpose."""


class SettingsError(TrueupError):
    """A setting is wrong; the message names the variable and what it takes."""


class SecretNotGivenError(SettingsError):
    """A System policy refers to no secret of the name that something takes."""


class PolicyError(TrueupError):
    """A policy document was refused; the message names file, line and remedy."""


class NotFoundError(TrueupError):
    """The named thing does not exist."""


class ConflictError(TrueupError):
    """The thing has changed since the caller read it, or is not in a state that allows this."""


class StaleError(ConflictError):
    """The caller names a version of the thing that it has no more."""


class ForbiddenError(TrueupError):
    """The actor may not do this."""


class SignInError(ForbiddenError):
    """What the identity provider answered lets nobody in."""


class StepUpError(ForbiddenError):
    """The actor must prove anew who it is: within `max_age` seconds (0: at any time), by one of the ways in `acr`."""

    def __init__(self, message: str, max_age: float, acr: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.max_age, self.acr = max_age, acr


class BadInputError(TrueupError):
    """A record or request is malformed; nothing of it was stored. `field` names what is wrong in it, where it is one thing."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class MalformedError(BadInputError):
    """A request is not what the contract of the API says; nothing was done."""


class OverloadedError(TrueupError):
    """The plane cannot take more now; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SealError(TrueupError):
    """A sealed record cannot be opened, and trying again is useless; the message says why."""


class KeyMissingError(SealError):
    """This process does not have the key; what needs it is left as it is until it does."""


class ConnectorError(TrueupError):
    """Base of what can go wrong between the plane and a system."""

    evidence: Mapping[str, Any] = MappingProxyType({})
    """The redacted request and answer behind it, where there was one."""
    retry_after: float | None = None
    """Seconds of our clock that the system asked to be left alone for, where it did."""


class UnavailableError(ConnectorError):
    """The system did not take the request; nothing took effect and it may be tried again."""


class BlockedAddressError(UnavailableError):
    """The system's address is not public, and policy does not state it: no connection was made."""


class ThrottledError(ConnectorError):
    """The system asks to slow down; `retry_after` is in seconds of our clock."""

    retry_after: float

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RejectedError(ConnectorError):
    """The system refuses this request for good; trying again unchanged is useless."""


class UnknownOutcomeError(ConnectorError):
    """The request left and no answer came back; it may or may not have taken effect."""


class UnreadableError(ConnectorError):
    """The answer breaks the system's contract, so nothing may be concluded from it."""
