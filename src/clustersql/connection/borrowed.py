"""What a caller has changed of the driver's own object, which sends nothing: his in a move, and nobody's after the
return.

Shared by both APIs; nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..drivers.contract import AnyDriver

Registration = tuple[str, tuple[Any, ...], Mapping[str, Any]]
"""A method of the driver's connection, and the arguments that it was called with."""


class Borrowed:
    """The names of one driver's connection that a caller has set, the registries that he was lent, and what he has
    registered.
    """

    __slots__ = ("_driver", "_first", "_lent", "_registered", "_undo", "_wanted")

    def __init__(self, driver: AnyDriver) -> None:
        self._driver = driver
        self._first: dict[str, Any] = {}
        self._wanted: dict[str, Any] = {}
        self._lent: set[str] = set()
        self._registered: list[Registration] = []
        self._undo: list[Callable[[], object]] = []

    def noted(self, raw: Any, name: str) -> None:
        """``name`` is about to be set: remember what is to be put back."""
        if name not in self._first:
            self._first[name] = getattr(raw, name)

    def set(self, raw: Any, name: str) -> None:
        """``name`` was set: it goes along in a move."""
        self._wanted[name] = getattr(raw, name)

    def lent(self, raw: Any, name: str) -> Any:
        """Return the registry ``name`` as the caller may change it."""
        if name not in self._first:
            self._first[name] = self._driver.lend(raw, name)
            self._lent.add(name)
        self._wanted[name] = getattr(raw, name)
        return self._wanted[name]

    def registered(self, registration: Registration, undo: Callable[[], object]) -> None:
        """A method has registered something; ``undo`` takes it away again."""
        self._registered.append(registration)
        self._undo.append(undo)

    def carry(self, raw: Any) -> None:
        """Give another session's object what the lost one's had."""
        self._first = {}
        for name, value in self._wanted.items():
            self._first[name] = self._driver.lend(raw, name) if name in self._lent else getattr(raw, name)
            put(self._driver, raw, name, value)
        self._undo = []
        for name, args, kwargs in self._registered:
            undo = self._driver.undo(raw, name, args, kwargs)
            assert undo is not None, "it could be undone on the session before"
            getattr(raw, name)(*args, **kwargs)
            self._undo.append(undo)

    def put_back(self, raw: Any) -> None:
        """Make the driver's object what it was.  Raises the driver's errors: such a connection is closed."""
        for undo in reversed(self._undo):
            undo()
        for name, value in reversed(self._first.items()):
            put(self._driver, raw, name, value)


def put(driver: AnyDriver, raw: Any, name: str, value: Any) -> None:
    """Set a name in the adapter's way; an adapter of a third party may have none."""
    set_ = getattr(driver, "put", setattr)
    set_(raw, name, value)
