"""The content of a configuration file, and its structure, checked by pydantic.

1. The knobs' fields are made from `KNOBS`, each with its own check, so that a knob is described once.
2. `structure` returns every mistake with its path; it never shows a value that a `Check` does not show.
3. What a node's fields mean is `url`'s part; here they are only known or unknown.
4. pydantic is imported when a file is read, and only then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, partial
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any

from ..errors import ConfigError
from .checks import Check, nearest, string
from .knobs import KNOBS
from .url import FIELDS, HOST, PORT

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

__all__ = ["Path", "load", "structure"]

Path = tuple[str | int, ...]
"""Where in a file: ``("clusters", "shop", "nodes", 1, "port")``."""

_NAME = string("a name")
_ANY_TEXT = string("a text", lambda _: True, secret=True)

# The ancestor's keys; only the password may be missing.
ANCESTOR = {
    "Name": _NAME,
    "HostName": HOST,
    "Port": PORT,
    "UserName": _NAME,
    "Password": _ANY_TEXT,
    "DBName": _NAME,
}

# What pydantic calls a mistake, and what we say.
_SAY = {
    "missing": "is missing",
    "too_short": "is empty",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "list_type": "must be an array of tables, each under [[...]]",
}
_NO_CLUSTERS = "no clusters: add [clusters.NAME] and its [[clusters.NAME.nodes]]"
_NO_NODES = "no nodes: add at least one, each under [[...]]"


def load(file: str) -> dict[str, Any]:
    """Return what a TOML file holds.  Raises `ConfigError` when it cannot be read, is no TOML, or is empty."""
    import tomllib  # here, because a program that configures itself in code never needs it

    text = _content(file)
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as exc:  # a ValueError that is no TOMLDecodeError: a number of 5,000 digits
        where, reason = _place(text, str(exc))
        raise ConfigError(f"{file}{where}: no valid TOML: {reason}") from None
    if not data:
        raise ConfigError(f"{file}: is empty: add [clusters.NAME] and its [[clusters.NAME.nodes]]")
    return data


def _content(file: str) -> str:
    try:
        with open(file, "rb") as stream:
            return stream.read().decode("utf-8-sig")
    except OSError as exc:
        raise ConfigError(f"{file}: cannot be read: {exc.strerror}; name a file or set DBCONFIG") from exc
    except ValueError as exc:
        # Not chained: the text of a UnicodeDecodeError shows the bytes around the mistake, perhaps a password.
        reason = f"byte {exc.start} is not UTF-8" if isinstance(exc, UnicodeDecodeError) else str(exc)
    raise ConfigError(f"{file}: cannot be read: {reason}")


def _place(text: str, message: str) -> tuple[str, str]:
    """Split the parser's message into ``:line:column`` and the reason."""
    reason, _, place = message.partition(" (at ")
    if numbers := re.findall(r"\d+", place):
        return ":" + ":".join(numbers), reason
    lines = text.split("\n")
    return (f":{len(lines)}:{len(lines[-1]) + 1}" if place else ""), reason


def structure(data: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield the path and the mistake for each part of ``data`` that has the wrong shape, name or value."""
    try:
        from pydantic import ValidationError
    except ImportError as exc:
        raise ConfigError('reading a TOML file needs pydantic: pip install "clustersql[toml]"') from exc
    try:
        _models()["Nodes" if "Nodes" in data else "clusters"].model_validate(data)
    except ValidationError as exc:
        yield from _mistakes(exc)


def _mistakes(exc: ValidationError) -> Iterator[tuple[Path, str]]:
    # Without the input: it would carry a password into whatever shows this error.
    for error in exc.errors(include_url=False, include_input=False):
        path, kind = error["loc"], error["type"]
        if kind == "extra_forbidden":
            yield path, _unknown(path)
        elif kind == "value_error":
            yield path, str(error["ctx"]["error"])
        else:
            yield path, _absent(path, kind) or _SAY.get(kind, error["msg"])


def _absent(path: Path, kind: str) -> str | None:
    if kind not in ("missing", "too_short"):
        return None
    return {"clusters": _NO_CLUSTERS, "nodes": _NO_NODES, "Nodes": _NO_NODES}.get(str(path[-1]))


def _unknown(path: Path) -> str:
    key = str(path[-1])
    if key in KNOBS and len(path) == 3:
        return "can be set in code only"
    return f"no such key; {nearest(key, _keys(path))}"


def _keys(path: Path) -> tuple[str, ...]:
    """Return the keys that are allowed where the last key of ``path`` stands."""
    models = _models()
    if len(path) == 1:
        return ("clusters", "Nodes")
    kind = "ancestor" if path[0] == "Nodes" else "node" if len(path) > 3 else "cluster"
    return tuple(models[kind].model_fields)


@cache
def _models() -> dict[str, type[BaseModel]]:
    """Return the models of a file in each form, by the key that tells the form, and those of their tables."""
    from pydantic import ConfigDict, create_model

    # Any: the types are made here, which no type checker follows.
    make: Any = partial(create_model, __config__=ConfigDict(extra="forbid", strict=True))
    arguments: Any = (dict[str, Any], {})
    free = dict.fromkeys(("url", *FIELDS), (Any, None))
    drivers = dict.fromkeys(("driver", "async_driver"), (_checked(string("the name of a driver")), None))
    knobs = {name: (_checked(knob.check), None) for name, knob in KNOBS.items() if knob.in_file}
    keys = {key: (_checked(check), None if key == "Password" else ...) for key, check in ANCESTOR.items()}
    node = make("node", name=(_checked(_NAME), ...), arguments=arguments, **free)
    cluster = make("cluster", **drivers, **knobs, arguments=arguments, nodes=_some(list, node))
    ancestor = make("ancestor", **keys)
    return {
        "clusters": make("File", clusters=_some(dict, str, cluster)),
        "Nodes": make("AncestorFile", Nodes=_some(list, ancestor)),
        "cluster": cluster,
        "node": node,
        "ancestor": ancestor,
    }


def _some(kind: type, *items: type) -> Any:
    """Return the definition of a required field: a ``kind`` of ``items`` that is not empty."""
    from pydantic import Field

    return (Annotated[GenericAlias(kind, items), Field(min_length=1)], ...)


def _checked(check: Check) -> Any:
    from pydantic import AfterValidator

    def accept(value: object) -> object:
        if complaint := check.complaint(value):
            raise ValueError(complaint)
        return value

    return Annotated[Any, AfterValidator(accept)]
