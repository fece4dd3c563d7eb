"""What may stand between us and a node's server, and what then cannot be asked for.

``pgbouncer-transaction``: pgbouncer gives a session of the server to a client for one transaction only, and to another
client for the next.  So nothing may be left in a session, and nothing that was left there may be relied on:

* read-only work is begun by BEGIN READ ONLY, each transaction of it; never by a session's SET;
* drivers prepare nothing by a name, and send no settings with their connect that pgbouncer refuses;
* the number of a session (its pid) is never used, neither to cancel nor to ask: it is another client's a moment later;
* a statement that is known to leave something in its session is refused before it is sent
  (`core.statements.traits.kept`).

docs/design/0012 has the reasons.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .checks import report
from .url import TRANSACTION

if TYPE_CHECKING:
    from .address import Address

__all__ = ["TRANSACTION", "check", "check_arguments", "no_autocommit", "one_by_one", "refused"]

_NAMED = "pgbouncer gives the session of the server to another client after each transaction"


def check(address: Address, driver: str, shared: bool) -> None:
    """Raise `ConfigError` when a node cannot be reached the way that its address says, by this driver or with these
    arguments.
    """
    if address.via is None:
        return
    if not shared:
        raise ConfigError(
            f"node {address.node!r}: via={address.via!r}: {driver} cannot work through pgbouncer; "
            "psycopg, psycopg2, pg8000 and asyncpg can"
        )
    check_arguments(address.node, address.arguments, address.dsn)


def check_arguments(node: str, arguments: Mapping[str, Any], dsn: str | None = None) -> None:
    """Raise `ConfigError` for arguments of a driver's connect that cannot hold behind pgbouncer: the node's, or a
    caller's.
    """
    found = list(_mistakes(arguments, dsn or ""))
    if found:
        raise report(f"node {node!r}", [f"node {node!r}: {text}" for text in found])


def _mistakes(arguments: Mapping[str, Any], dsn: str) -> Iterator[str]:
    if "options" in arguments or "options=" in dsn.replace(" ", ""):
        yield "options: pgbouncer refuses it at connect; ALTER ROLE ... SET does the same on the server"
    if arguments.get("server_settings") and set(arguments["server_settings"]) - _KEPT:
        names = ", ".join(sorted(set(arguments["server_settings"]) - _KEPT))
        yield f"server_settings: pgbouncer refuses {names} at connect; ALTER ROLE ... SET does the same on the server"
    for name in ("prepare_threshold", "statement_cache_size"):
        if arguments.get(name) not in (None, 0, "0") or (name == "prepare_threshold" and arguments.get(name) == 0):
            yield f"{name}: no statement can be prepared by a name, for {_NAMED}"


_KEPT = frozenset({"application_name", "client_encoding", "datestyle", "timezone", "standard_conforming_strings"})
"""Settings that pgbouncer keeps per client: https://www.pgbouncer.org/config.html, ignore_startup_parameters."""


def no_autocommit(node: str, read_only: bool, driver: str) -> ConfigError:
    """Return the error of a caller who asks for autocommit mode where only a transaction can do what else is asked."""
    why = (
        "read-only work is begun by BEGIN READ ONLY there"
        if read_only
        else f"{driver} sends a statement in several parts"
    )
    return ConfigError(
        f"node {node!r} is reached through pgbouncer ({TRANSACTION}), so autocommit mode is not possible: {why}"
    )


def refused(node: str, what: str) -> ConfigError:
    """Return the error of a statement that would leave something in a session of the server: ``what`` it does."""
    return ConfigError(
        f"{what} would stay in a session of the server that other clients use: node {node!r} is reached through"
        f" pgbouncer ({TRANSACTION}).  It was not sent.  Use SET LOCAL, set_config(..., true), pg_advisory_xact_lock"
        " or ON COMMIT DROP in a transaction, or a node without via="
    )


def one_by_one(node: str) -> ConfigError:
    """Return the error of a string of several statements where read-only is the transaction's: one of them could end
    it.
    """
    return ConfigError(
        f"node {node!r} is reached through pgbouncer ({TRANSACTION}), where read-only work is begun by BEGIN READ"
        " ONLY: give its statements one by one, for a COMMIT among several would let the next one write.  It was not"
        " sent"
    )
