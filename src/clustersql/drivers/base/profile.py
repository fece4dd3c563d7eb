"""What PEP 249 leaves open, as a value: what the adapter of any PEP 249 module goes by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ...errors import Form
from ..contract import Abilities, Target
from .adapter import Codes
from .surface import PEP_249, UNKNOWN_CONNECTION, UNKNOWN_CURSOR, Surface

_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Profile:
    """What PEP 249 leaves open, for one driver."""

    name: str
    """The name by which the driver is chosen."""
    family: str | None
    """Which URLs it takes; None: any."""
    dialect: str
    """The name of the database's dialect."""
    abilities: Abilities
    """What the driver can do."""
    names: Mapping[str, str]
    """Our name of a field of the target -> the driver's keyword."""
    codes: Callable[[BaseException], Codes]
    """Reads SQLSTATE and number off an error."""
    descriptor: Callable[[Any], int | None]
    """The file descriptor of a connection's socket; None: not known."""
    closed: Callable[[Any], bool]
    """Whether this side knows that a connection is closed."""
    status: Callable[[Any], bool | None]
    """Whether a transaction is open; None: not known."""
    timeout: str | None = None
    """The keyword of the connect timeout, in seconds."""
    numbers: Mapping[str, type] = field(default_factory=dict)
    """The arguments that the driver wants as a number, which a URL has as a text, and its type."""
    unsent: tuple[str, ...] = ()
    """The whole texts of errors that the driver raises before it writes."""
    defaults: Callable[[float], Mapping[str, Any]] = lambda timeout: _NONE
    """The arguments of a connect with this timeout, in seconds, that the caller's win over."""
    fields: Callable[[Target], dict[str, Any]] | None = None
    """Makes the arguments of a target, where that is more than `names`."""
    opened: Callable[[Any, Mapping[str, Any]], None] = lambda raw, given: None
    """Called with a new connection and the user's arguments."""
    has_news: Callable[[Any, int], bool] = lambda raw, descriptor: False
    """Whether what can be read of an idle connection is harmless."""
    takes_dsn: bool = True
    """Whether it has a connection string of its own."""
    leaving: str = "commit"
    """What ``with connection:`` does at its end."""
    failed: Callable[[Any], bool] = lambda raw: False
    """Whether the open transaction has failed."""
    session: Callable[[Any], int | None] = lambda raw: None
    """The server's number of the session."""
    read_only: Callable[[Any, bool], None] | None = None
    """Begins transactions by BEGIN READ ONLY from now on, or as ever."""
    wants_password: Callable[[BaseException], bool] = lambda exc: False
    """Whether an error at connect says in the driver's own way that a password is missing."""
    form: Form = field(default_factory=Form)
    """What a program may ask of its errors."""
    connection_names: Surface = UNKNOWN_CONNECTION
    """What the public names of its connection do."""
    cursor_names: Surface = UNKNOWN_CURSOR
    """The same for its cursor."""
    keywords: tuple[str, str, str] = PEP_249
    """The names of the parameters of its ``execute``, and of the rows of its ``executemany``."""
    text: Callable[[Any, Any], str | None] = lambda operation, raw: None
    """The text of a statement that is neither str nor bytes."""
    fold: Callable[[Any, str], object] | None = None
    """Runs a text of several statements that ends with COMMIT; None: the driver would not notice its COMMIT."""
    sends: Callable[[Any], bool] = lambda raw: False
    """Whether setting a name that is only this side's otherwise would be sent to the server now."""
