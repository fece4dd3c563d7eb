"""What breaks into a driver's call in the tests: signals, converters of values, and how each driver is given one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

POISON = 424242
"""The value that a converter refuses."""


class SoftLimit(Exception):
    """As celery's SoftTimeLimitExceeded."""


class HardStop(BaseException):
    """As gevent's Timeout, and Ctrl-C."""


@contextmanager
def signalled(error: BaseException, after: float | None = None) -> Iterator[Callable[[float], None]]:
    """A signal handler raises ``error`` once, wherever this thread is: ``after`` seconds from now, or from when what it
    gives is called.
    """
    raised: list[int] = []
    timers: list[threading.Timer] = []

    def handler(*_: object) -> None:
        if not raised:
            raised.append(1)
            raise error

    def arm(seconds: float) -> None:
        main = threading.main_thread().ident
        assert main is not None
        timers.append(threading.Timer(seconds, signal.pthread_kill, (main, signal.SIGUSR1)))
        timers[0].start()

    before = signal.signal(signal.SIGUSR1, handler)
    if after is not None:
        arm(after)
    try:
        yield arm
    finally:
        for timer in timers:
            timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert raised, "nothing was interrupted"


def refusing(error: BaseException) -> Callable[[Any], Any]:
    """A converter of numbers that raises ``error`` for `POISON`; what drivers pass it is text, bytes, or a number."""

    def convert(value: Any, *_: Any) -> Any:
        number = int(bytes(value)) if isinstance(value, memoryview) else int(value)
        if number == POISON:
            raise error
        return number

    return convert


def converting(driver: str, convert: Callable[[Any], Any]) -> tuple[dict[str, Any], Callable[[Any], Any] | None]:
    """The driver's arguments and the ``on_connect`` by which it converts the server's 32-bit integers with
    ``convert``.
    """
    match driver:
        case "psycopg" | "psycopg-aio":
            return {}, lambda raw: raw.adapters.register_loader("int4", _loader(convert))
        case "psycopg2":
            extensions = import_module("psycopg2.extensions")
            kind = extensions.new_type((23,), "REFUSING", lambda value, cursor: convert(value))
            return {}, lambda raw: extensions.register_type(kind, raw)
        case "pg8000":
            return {}, lambda raw: raw.register_in_adapter(23, convert)
        case "asyncpg":
            return {}, lambda raw: raw.set_type_codec(
                "int4", schema="pg_catalog", encoder=str, decoder=convert, format="text"
            )
        case "pymysql" | "aiomysql":
            return {"conv": import_module("pymysql.converters").conversions | {8: convert, 3: convert}}, None
        case "mysqlclient":
            return {"conv": import_module("MySQLdb.converters").conversions | {8: convert, 3: convert}}, None
        case "asyncmy":
            return {"conv": import_module("asyncmy.converters").conversions | {8: convert, 3: convert}}, None
        case "mysql-connector":
            return {"converter_class": _converter_class(convert)}, None
    raise AssertionError(driver)


def _loader(convert: Callable[[Any], Any]) -> type:
    class Refusing(import_module("psycopg.adapt").Loader):  # type: ignore[misc]
        def load(self, data: Any) -> Any:
            return convert(data)

    return Refusing


def _converter_class(convert: Callable[[Any], Any]) -> type:
    class Refusing(import_module("mysql.connector.conversion").MySQLConverter):  # type: ignore[misc]
        def _long_to_python(self, value: bytes, desc: Any = None) -> Any:
            return convert(value)

        _int_to_python = _longlong_to_python = _long_to_python

    return Refusing
