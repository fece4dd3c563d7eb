"""A database that we know nothing of: SQLSTATE classes of the standard, and nothing assumed about its statements."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.faults import Fault
from ..core.statements.left import EVERYTHING
from ..core.statements.rules import Rules
from ..core.view.node import Report, Role
from . import Dialect, Rows


def report(answers: Sequence[Rows]) -> Report:
    """It answered: a primary, for nothing tells otherwise."""
    return Report(role=Role.PRIMARY)


DIALECT = Dialect(
    name="generic",
    # ISO/IEC 9075-2, table of SQLSTATE classes.
    sqlstates={
        "08": Fault.LOST,
        "08007": Fault.AMBIGUOUS,
        "40": Fault.ROLLED_BACK,
        "40003": Fault.AMBIGUOUS,
        "25006": Fault.READ_ONLY,
        "53": Fault.OVERLOADED,
        "57P01": Fault.LOST,
        "57P03": Fault.NOT_READY,
        "22": Fault.STATEMENT,
        "23": Fault.STATEMENT,
        "42": Fault.STATEMENT,
    },
    errnos={},
    messages=(
        ("connection already closed", Fault.LOST),
        ("lost connection", Fault.LOST),
        ("gone away", Fault.LOST),
        ("broken pipe", Fault.LOST),
        ("connection reset", Fault.LOST),
        ("connection refused", Fault.LOST),
        ("network error", Fault.LOST),
        ("timed out", Fault.LOST),
    ),
    at_connect={"28": Fault.MISCONFIGURED, "3D": Fault.MISCONFIGURED},
    lost=frozenset({"08", "57P01"}),
    undone_at_commit=frozenset(),
    probe=("SELECT 1",),
    report=report,
    read_only_on=(),
    read_only_off=(),
    reset=(),
    rules=Rules(
        reading=frozenset(),
        stateless=frozenset({"select", "insert", "update", "delete"}),
        implicit_commit=frozenset({"call", "do", "create", "alter", "drop", "truncate", "grant", "revoke", "rename"}),
        pure_functions=frozenset(
            "count sum avg min max coalesce nullif lower upper trim substring abs round cast".split()
        ),
        functions_with_effect=frozenset(),
        phrases_with_effect=("for update",),
        reading_session=(("@@", EVERYTHING),),
        # It may be any database, so what is known of one only is feared here, and its words are taken for no calls.
        never_commit=frozenset(
            "abort attach detach discard handler help kill listen move pragma reset unlisten use".split()
        ),
        temporary=r"\bpg_temp\b",
        committing="prepare transaction|set (?:statement|.*(?:autocommit|password))",
        inserting=frozenset("insert replace load copy merge".split()),
        not_called=frozenset(
            """
            bpchar div enum fixed halfvec ilike longtext mediumint mediumtext mod regexp rlike signed sounds sparsevec
            timestamptz timetz tinyint tinytext unsigned varbit vector xor year
            """.split()
        ),
    ),
)
