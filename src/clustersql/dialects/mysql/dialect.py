"""MySQL, MariaDB, Galera, Percona XtraDB Cluster: one dialect, for one URL may lead to any of them; the probe tells."""

from __future__ import annotations

from ...core.faults import Fault
from .. import Dialect
from .bookmarks import BOOKMARKS
from .errors import AT_CONNECT, ERRNOS, MESSAGES, SQLSTATES
from .group import ask_group, grouped
from .guard import GUARDING
from .members import ask_members, members
from .questions import QUESTIONS
from .report import PROBE, report
from .rules import RULES

DIALECT = Dialect(
    cancel="KILL QUERY {}",
    terminate="KILL {}",
    uptime="SHOW GLOBAL STATUS LIKE 'Uptime'",
    running="SELECT id FROM information_schema.processlist WHERE id IN ({}) AND (command <> 'Sleep' OR time < 1)",
    name="mysql",
    sqlstates=SQLSTATES,
    errnos=ERRNOS,
    messages=MESSAGES,
    at_connect=AT_CONNECT,
    lost=frozenset(errno for errno, fault in ERRNOS.items() if fault is Fault.LOST) | {1153, "08"},
    rollback_ends=True,
    # MySQL's words for a session that idled too long; MariaDB just closes it.  1927 and 3169 end a statement in the
    # middle too.
    unheard=frozenset({4031}),
    undone_at_commit=frozenset({1290, 1047}),  # the row was absent both times
    probe=PROBE,
    report=report,
    read_only_on=("SET SESSION TRANSACTION READ ONLY",),
    read_only_off=("SET SESSION TRANSACTION READ WRITE",),
    # COM_RESET_CONNECTION leaves a role that was set, also by a procedure, a function or in a prepared text, and
    # MariaDB's the profiles of the statements, which show their texts: only MariaDB executes what stands in /*M! */.
    # An error (MySQL 5.7 knows no role) is no proof either, and the connection is closed.
    reset_proof="SELECT COALESCE(CAST(NULLIF(CURRENT_ROLE(), 'NONE') AS BINARY), '') = COALESCE((SELECT"
    " MAX(CAST(role_name AS BINARY)) FROM information_schema.applicable_roles WHERE is_default = 'YES'), '') /*M! AND"
    " NOT EXISTS (SELECT 1 FROM information_schema.profiling) */",
    # SET, unlike SELECT, is answered by a Galera node that is not ready.  Zero is nothing: ids begin at 1.
    forget_generated=("SET SESSION last_insert_id = 0",),
    generated="SELECT 1 FROM DUAL WHERE LAST_INSERT_ID() <> 0",
    reset=(),  # COM_RESET_CONNECTION is no statement, and drivers do not offer it alike
    rules=RULES,
    quote="`",
    questions=QUESTIONS,
    guard=GUARDING,
    # Not of Galera, nor of MySQL without GTIDs: there the lag is not known, and what is not known is too long.
    measures_lag=frozenset({"seconds"}),
    ask_further=ask_group,
    further=grouped,
    ask_members=ask_members,
    members=members,
    port=3306,
    bookmarks=BOOKMARKS,
)
