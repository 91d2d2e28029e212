"""What can go wrong with a request, and what that means for the next one."""

from __future__ import annotations

import re
from typing import Literal

Kind = Literal["wait", "unsure", "fatal", "rejected", "too-long", "refused"]

_TOO_LONG = re.compile(
    r"context[ _-]?(length|size|window)|maximum (context|sequence|input) length|too many tokens"
    r"|prompt is too long|input is too long|exceed\w* .{0,30}(context|tokens)|max_model_len",
    re.I,
)
_FILTER = re.compile(r"content[ _-]?(filter|policy|management)|safety|moderation", re.I)
_BROKE = re.compile(
    r"insufficient[ _]quota|billing|credit balance|payment|exceeded your .*quota", re.I
)
_TLS = re.compile(r"certificate|SSL|TLS", re.I)

# Turned away at the door, before any model was asked.
WAIT = frozenset({409, 425, 429, 503, 529})

# Something broke or took too long, and a gateway does not say whether the model had worked by then.
UNSURE = frozenset({408, 500, 502, 504, 520, 521, 522, 523, 524})


class Fault(Exception):
    """A request without an answer.

    Attributes:
        kind: ``wait``: ask again later, nothing was billed. ``unsure``: the same, but it may have
            been billed. ``fatal``: no request to this endpoint can work. ``rejected``: something
            in the request is not taken. ``too-long``: it does not fit the model. ``refused``: the
            server will not answer this text.
        said: the server's own words, without keys.
        pause: seconds after which the server wants to be asked again.
        unreachable: no server was found at all.
    """

    def __init__(
        self,
        kind: Kind,
        said: str,
        *,
        pause: float | None = None,
        status: int | None = None,
        unreachable: bool = False,
    ) -> None:
        super().__init__(said)
        self.kind: Kind = kind
        self.said, self.pause, self.status = said, pause, status
        self.unreachable = unreachable

    @property
    def may_be_billed(self) -> bool:
        """Return whether a provider may charge for it although it is no answer.

        A content filter and a limit of the input are found by processing a text. Azure says so of
        both: https://learn.microsoft.com/azure/ai-services/openai/how-to/manage-costs
        """
        if self.kind == "too-long":
            return self.status != 413  # a body that was not read
        return self.kind in ("unsure", "refused")


def of_status(status: int, said: str, pause: float | None) -> Fault:
    """Return what an HTTP status other than 200 means."""
    told = f"HTTP {status}: {said}" if said else f"HTTP {status}"
    if status in (402, 429, 403) and _BROKE.search(said):
        return Fault("fatal", f"the account is out of credit or quota ({told})", status=status)
    if status == 413 or (status in (400, 422, 500) and _TOO_LONG.search(said)):
        return Fault("too-long", told, status=status)
    if status in (400, 422) and _FILTER.search(said):
        return Fault("refused", told, status=status)
    if status in (400, 422):
        return Fault("rejected", told, status=status)
    if status in WAIT:
        return Fault("wait", told, pause=pause, status=status)
    if status in UNSURE:
        return Fault("unsure", told, pause=pause, status=status)
    return Fault("fatal", told, status=status)


def of_error_in_200(code: int | None, said: str) -> Fault:
    """Return what an error object means that came with HTTP 200; `code` is a status it names.

    Without one it may pass, and whether it was billed is not known.
    """
    if code is None:
        kind: Kind = "too-long" if _TOO_LONG.search(said) else "unsure"
        return Fault(kind, f"it answered HTTP 200 with an error: {said}")
    fault = of_status(code, said, None)
    kind = "unsure" if fault.kind == "wait" and code != 429 else fault.kind
    return Fault(kind, f"{fault.said}, sent with HTTP 200", status=code)


def of_connection(said: str, sent: bool) -> Fault:
    """Return what a connection that failed means; `sent` where the request had left."""
    if _TLS.search(said):
        return Fault("fatal", f"the secure connection failed ({said})")
    return Fault("unsure" if sent else "wait", said, unreachable=not sent)
