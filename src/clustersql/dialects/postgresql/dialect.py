"""PostgreSQL, and what speaks its protocol and SQLSTATEs."""

from __future__ import annotations

from .. import Dialect
from .bookmarks import BOOKMARKS
from .errors import AT_CONNECT, MESSAGES, SQLSTATES, UNSENT
from .guard import GUARDING
from .members import ask_members, members
from .questions import QUESTIONS
from .report import PROBE, WHO, report, who
from .rules import RULES

# A COMMIT that waits for its synchronous standby is ended by neither: everybody would see its rows, though one server
# only has them.  A session whose state is hidden from this user may be one that waits.  And one that has begun later
# than ours is somebody else's: the pid was given away again, or the address leads to another server by now.
NOT_HELD = (
    "FROM pg_stat_activity WHERE pid = {} AND backend_start <= clock_timestamp() - make_interval(secs => {})"
    " AND state IS NOT NULL AND wait_event IS DISTINCT FROM 'SyncRep'"
)

DIALECT = Dialect(
    cancel=f"SELECT pg_cancel_backend(pid) {NOT_HELD}",
    terminate=f"SELECT pg_terminate_backend(pid) {NOT_HELD}",
    # A user sees the state of his own sessions.  'disabled' is track_activities = off.  After a Parse without a Sync
    # (asyncpg) a session is 'active' though it waits for us: ClientRead.
    running="SELECT pid FROM pg_stat_activity WHERE pid IN ({}) AND (state IS NULL OR state_change > now() - interval"
    " '1 second' OR (state NOT LIKE 'idle%' AND wait_event IS DISTINCT FROM 'ClientRead'))",
    name="postgresql",
    sqlstates=SQLSTATES,
    errnos={},
    messages=MESSAGES,
    at_connect=AT_CONNECT,
    lost=frozenset({"08", "57P01", "57P02", "57P04", "57P05", "25P03", "25P04", "F0"}),
    unsent=UNSENT,
    undone_at_commit=frozenset(),
    # Raised only while the session waits for a message.  57P01 is not among them: it may end a COMMIT that waits for
    # its standby.  25P04 (transaction_timeout) may end a statement in the middle.
    unheard=frozenset({"25P03", "57P05"}),
    probe=(PROBE,),
    report=report,
    ask_who=(WHO,),
    who=who,
    read_only_on=("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",),
    # Not READ WRITE: that would stand against the default_transaction_read_only of a demoted server, for as long as the
    # session lives.
    read_only_off=("RESET default_transaction_read_only",),
    forget_generated=("DISCARD SEQUENCES",),  # from then on the server itself refuses what was not generated (55000)
    reset=("DISCARD ALL",),  # refused inside a transaction: end it first
    rules=RULES,
    questions=QUESTIONS,
    guard=GUARDING,
    measures_lag=frozenset({"seconds", "bytes"}),
    settings_roll_back=True,
    ask_members=ask_members,
    has_patroni=True,
    members=members,
    port=5432,
    bookmarks=BOOKMARKS,
)
