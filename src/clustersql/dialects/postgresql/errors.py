"""What an error of PostgreSQL, or of pgbouncer before it, proves.

Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

from ...core.faults import Fault

# pgbouncer's own errors all have the code 08P01, so that only the text tells them apart: janitor.c, objects.c, client.c
# and server.c of its source, 1.18 and 1.25.  Each ends the client's connection.
POOLER = (
    # The statement waited in pgbouncer's queue, and was sent to no server.
    ("query_wait_timeout", Fault.OVERLOADED),
    ("query_timeout", Fault.OVERLOADED),  # of one that waits; one that runs gets "query timeout", and may have happened
    ("server login has been failing", Fault.NOT_READY),
    ("server shutting down", Fault.NOT_READY),  # SHUTDOWN WAIT_FOR_SERVERS: who has no session gets none any more
)
# A server login that keeps failing is a server that is down, as far as a dial can tell: it is not among them.
POOLER_AT_CONNECT = (
    ("query_wait_timeout", Fault.OVERLOADED),
    ("query_timeout", Fault.OVERLOADED),
    ("no more connections allowed", Fault.OVERLOADED),  # max_client_conn
    ("client connections exceeded", Fault.OVERLOADED),  # max_db_client_connections, max_user_client_connections
    ("no such database", Fault.MISCONFIGURED),
    ("no such user", Fault.MISCONFIGURED),
    ("is disabled", Fault.MISCONFIGURED),
    ("authentication failed", Fault.MISCONFIGURED),
    ("login rejected", Fault.MISCONFIGURED),
    ("unsupported startup parameter", Fault.MISCONFIGURED),
    ("unsupported options startup parameter", Fault.MISCONFIGURED),
    ("ssl required", Fault.MISCONFIGURED),
    ("wrong password type", Fault.MISCONFIGURED),
    ("the database system is", Fault.NOT_READY),  # 1.18 repeats the server's text, under its own code
    ("too many clients already", Fault.OVERLOADED),
    ("remaining connection slots", Fault.OVERLOADED),
)
UNSENT = tuple(needle for needle, _ in POOLER)

SQLSTATES: dict[str, Fault | tuple[tuple[str, Fault], ...]] = {
    # Not even begun, or at connect.
    "08001": Fault.LOST,
    "08004": Fault.LOST,
    "57P03": Fault.NOT_READY,  # cannot_connect_now: starting, shutting down, in recovery without hot standby
    # The session is gone.  57P01 is also one session ended by pg_terminate_backend: it does not prove that the node is
    # down.
    "08": Fault.LOST,
    "08P01": (*POOLER, ("", Fault.LOST)),  # the server's own protocol_violation too
    "08003": (*POOLER, ("", Fault.LOST)),  # asyncpg's own, in which it quotes the last words of the connection
    "57P01": Fault.LOST,
    "57P02": Fault.LOST,
    "57P04": Fault.LOST,
    "57P05": Fault.LOST,
    "25P03": Fault.LOST,  # idle_in_transaction_session_timeout; the rest of class 25 is the statement's own
    "25P04": Fault.LOST,  # transaction_timeout, PostgreSQL 17
    # The server says that it rolled back.  On a hot standby 40001 and 40P01 are a conflict with recovery: rolled back
    # too.
    "40": Fault.ROLLED_BACK,
    "40003": Fault.AMBIGUOUS,  # statement_completion_unknown, although it stands in class 40
    "08007": Fault.AMBIGUOUS,  # transaction_resolution_unknown, although it stands in class 08
    # A deferred constraint failed at COMMIT; running it again gives the same, but it did not happen.
    "40002": Fault.ROLLED_BACK,
    "25006": Fault.READ_ONLY,  # also when the user set READ ONLY: the caller knows its own mode, this table does not
    # Push back, do not call it dead.
    "53": Fault.OVERLOADED,
    # The node is damaged; its answer proves nothing.
    "58030": Fault.AMBIGUOUS,
    "58P01": Fault.STATEMENT,  # undefined_file: also a wrong extension name or COPY path
    "XX001": Fault.STATEMENT,
    "XX002": Fault.STATEMENT,
    "F0": Fault.LOST,  # config_file_error: the server cannot go on
    "99": Fault.LOST,  # proxies in front of PostgreSQL use it for their own failures
    # The statement's own.
    "57014": Fault.STATEMENT,  # query_canceled: class 57, but neither the node nor the connection is at fault
    "55P03": Fault.STATEMENT,
    "25P02": Fault.STATEMENT,  # in_failed_sql_transaction: an earlier error
    "57": Fault.STATEMENT,
}
SQLSTATES |= dict.fromkeys(
    """
    02 03 09 0A 0B 0L 0P 0Z 20 21 22 23 24 25 26 27 28 2B 2D 2F 34 38 39 3B 3D 3F 42 44 54 55 58 72 HV P0 XX
    """.split(),
    Fault.STATEMENT,
)

AT_CONNECT: dict[str | int, Fault | tuple[tuple[str, Fault], ...]] = {
    "08P01": (*POOLER_AT_CONNECT, ("", Fault.LOST)),
    "08003": (*POOLER_AT_CONNECT, ("", Fault.LOST)),
    "28": Fault.MISCONFIGURED,
    "28000": Fault.MISCONFIGURED,
    "28P01": Fault.MISCONFIGURED,
    "3D000": Fault.MISCONFIGURED,
    "42501": Fault.MISCONFIGURED,  # no CONNECT privilege
    "42704": Fault.MISCONFIGURED,  # an option of the connection names an unknown setting
    "22023": Fault.MISCONFIGURED,  # or gives it a wrong value
    "55000": Fault.NOT_READY,  # the database does not accept connections now
    "57P01": Fault.NOT_READY,  # shut down while we connected
}

# libpq gives no SQLSTATE for an error at connect: only the text tells a wrong password from a closed port.  These are
# the server's own words; a server with another lc_messages gives LOST, which heals by itself just the same.
MESSAGES = (
    ("password authentication failed", Fault.MISCONFIGURED),
    ("no password supplied", Fault.MISCONFIGURED),
    ("no pg_hba.conf entry", Fault.MISCONFIGURED),
    ("authentication failed for user", Fault.MISCONFIGURED),
    ('" does not exist', Fault.MISCONFIGURED),  # database or role
    ("is not permitted to log in", Fault.MISCONFIGURED),
    ("permission denied for database", Fault.MISCONFIGURED),
    ("server does not support ssl", Fault.MISCONFIGURED),
    ("certificate verify failed", Fault.MISCONFIGURED),
    ("the database system is", Fault.NOT_READY),  # starting up, shutting down, in recovery mode, not yet accepting
    ("not currently accepting connections", Fault.NOT_READY),
    ("too many clients already", Fault.OVERLOADED),
    ("remaining connection slots", Fault.OVERLOADED),
    ("too many connections for", Fault.OVERLOADED),
    *POOLER_AT_CONNECT,
    ("server closed the connection unexpectedly", Fault.LOST),
    ("terminating connection", Fault.LOST),
    ("connection already closed", Fault.LOST),
    ("the connection is closed", Fault.LOST),
    ("connection to server", Fault.LOST),
    ("connection not open", Fault.LOST),
    ("no connection to the server", Fault.LOST),
    ("ssl connection has been closed", Fault.LOST),
    ("ssl syscall error", Fault.LOST),
    ("could not receive data", Fault.LOST),
    ("could not send data", Fault.LOST),
    ("consuming input failed", Fault.LOST),
    ("network error", Fault.LOST),
)
