"""The adapter of any PEP 249 module, guided by its `Profile`."""

from __future__ import annotations

from typing import Any

from ...dialects import by_name
from ...errors import ConfigError
from ..contract import Target
from . import sockets
from .adapter import Adapter, Codes, LocalAutocommit, converted, server_arguments
from .profile import Profile
from .unseen import unseen


class Generic(Adapter):
    """Adapter for a PEP 249 module, guided by a profile."""

    def __init__(self, module: Any, profile: Profile) -> None:
        super().__init__(module)
        self.profile = profile
        self.name, self.family, self.abilities = profile.name, profile.family, profile.abilities
        self.dialect = by_name(profile.dialect)
        self.leaving, self.form = profile.leaving, profile.form
        self.connection_names, self.cursor_names = profile.connection_names, profile.cursor_names
        self.keywords = profile.keywords

    def connect(self, target: Target, timeout: float) -> Any:
        """Connect; ``timeout`` in seconds is passed where the driver takes one."""
        profile = self.profile
        given = converted(target.arguments, profile.numbers)
        fields = profile.fields(target) if profile.fields else server_arguments(target, profile.names)
        self._refuse_unknown(target)
        defaults = profile.defaults(timeout) or ({profile.timeout: timeout} if profile.timeout else {})
        missing = {name: value for name, value in defaults.items() if not _names(target.dsn, name)}
        try:
            raw = self.module.connect(*([] if target.dsn is None else [target.dsn]), **(missing | fields | given))
        except Exception as exc:
            if target.password is None and profile.wants_password(exc):
                raise ConfigError(f"{self.name}: the server asks for a password, and none is given") from exc
            raise
        profile.opened(raw, given)
        if "tcp_user_timeout" not in defaults and (descriptor := self.descriptor(raw)) is not None:
            sockets.keep_alive(descriptor)
        return raw

    def _refuse_unknown(self, target: Target) -> None:
        if target.dsn is not None and not self.profile.takes_dsn:
            raise ConfigError(f"{self.name} takes no connection string; give host, port, user, password and database")
        for name in ("host", "port", "user", "password", "database", "unix_socket"):
            if getattr(target, name) is not None and name not in self.profile.names:
                raise ConfigError(
                    f"{self.name}: its connect has no argument that we know for {name}; give its own instead"
                )

    def codes(self, exc: BaseException) -> Codes:
        """Return what the exception carries."""
        return self.profile.codes(exc)

    def refused_unsent(self, exc: BaseException, codes: Codes) -> bool:
        """Tell by the whole text."""
        return isinstance(exc, self.interface_error) and codes[2] in self.profile.unsent

    def descriptor(self, raw: Any) -> int | None:
        """Return the socket's descriptor, where it is known."""
        return self.profile.descriptor(raw)

    def is_closed(self, raw: Any) -> bool:
        """Tell whether this side knows that it is closed."""
        return self.profile.closed(raw)

    def is_stale(self, raw: Any) -> bool:
        """Tell by the socket where there is one; otherwise only whether this side closed it."""
        descriptor = self.descriptor(raw)
        if descriptor is None:
            return self.abilities.descriptor or self.is_closed(raw)
        return sockets.is_readable(descriptor) and not self.profile.has_news(raw, descriptor)

    def set_read_only(self, raw: Any, on: bool) -> None:
        """Do as the profile says."""
        assert self.profile.read_only is not None, "only asked of drivers that can (`Abilities.shared`)"
        self.profile.read_only(raw, on)

    def folds(self, raw: Any) -> bool:
        """Tell by the profile."""
        return self.profile.fold is not None

    def commit_folded(self, raw: Any, text: str) -> None:
        """Do as the profile says."""
        assert self.profile.fold is not None, "only asked of drivers that can (`folds`)"
        with unseen():
            self.profile.fold(raw, text)

    def text(self, operation: Any, raw: Any) -> str | None:
        """Return the text, where the profile can tell it."""
        return self.profile.text(operation, raw)

    def sends(self, raw: Any) -> bool:
        """Tell by the profile."""
        return self.profile.sends(raw)

    def failed_transaction(self, raw: Any) -> bool:
        """Tell what the driver knows."""
        return self.profile.failed(raw)

    def session_id(self, raw: Any) -> int | None:
        """Tell what the driver knows."""
        return None if self.is_closed(raw) else self.profile.session(raw)

    def in_transaction(self, raw: Any) -> bool | None:
        """Tell what the driver knows for sure."""
        return None if self.is_closed(raw) else self.profile.status(raw)


class GenericLocal(Generic, LocalAutocommit):
    """The same for drivers with PEP 249's optional ``autocommit`` attribute."""


def _names(dsn: str | None, keyword: str) -> bool:
    """Whether the connection string sets ``keyword`` itself, and so must not be overruled."""
    return dsn is not None and f"{keyword}=" in dsn.replace(" ", "")
