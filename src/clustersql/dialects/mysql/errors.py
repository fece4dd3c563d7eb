"""What an error of MySQL, MariaDB or Galera proves.

Codes: https://mariadb.com/kb/en/mariadb-error-code-reference/ and
https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html; 2000 to 2999 are the client library's.
"""

from __future__ import annotations

from ...core.faults import Fault

ERRNOS: dict[int, Fault | tuple[tuple[str, Fault], ...]] = {
    # The connection is gone or was never made.
    2001: Fault.LOST,
    2002: Fault.LOST,
    2003: Fault.LOST,
    2004: Fault.LOST,
    2005: Fault.LOST,
    2006: Fault.LOST,  # "gone away": usually before the statement was sent, but that is not provable
    2009: Fault.LOST,
    2012: Fault.LOST,
    2013: Fault.LOST,
    2026: Fault.LOST,  # a TLS failure: also a handshake that broke off
    2027: Fault.LOST,
    2055: Fault.LOST,
    1053: Fault.LOST,  # server shutdown in progress: the running statement may have ended either way
    1080: Fault.LOST,
    1152: Fault.LOST,
    1158: Fault.LOST,
    1159: Fault.LOST,
    1160: Fault.LOST,
    1161: Fault.LOST,
    1184: Fault.LOST,
    1927: Fault.LOST,  # MariaDB: this connection was killed; it says nothing about the node
    3169: Fault.LOST,  # MySQL: session was killed
    4031: Fault.LOST,  # MySQL: closed because it idled
    # The server says that it rolled the whole transaction back.
    1213: Fault.ROLLED_BACK,  # deadlock; on Galera also a certification conflict, and then as the answer to COMMIT too
    1614: Fault.ROLLED_BACK,  # XA_RBDEADLOCK
    3101: Fault.ROLLED_BACK,  # Group Replication refused it in certification, on every member alike
    1020: Fault.ROLLED_BACK,  # "record has changed": with innodb_snapshot_isolation, on by default from MariaDB 11.6.2
    # Refused: it did not happen.
    1290: (("read-only", Fault.READ_ONLY),),  # the same number is used for every --option, such as --secure-file-priv
    1792: Fault.READ_ONLY,  # READ ONLY transaction: also when the user set it; the caller knows its own mode
    1836: Fault.READ_ONLY,
    1874: Fault.READ_ONLY,  # innodb_read_only
    # A member of a group that holds back what begins there, and then lets it begin no more.
    3781: Fault.NOT_READY,  # a new primary took too long to apply what was left to it
    3782: Fault.NOT_READY,
    3783: Fault.NOT_READY,
    3796: Fault.NOT_READY,  # it cannot do what group_replication_consistency asks for
    3797: Fault.NOT_READY,
    3798: Fault.NOT_READY,
    3799: Fault.NOT_READY,
    1047: (("wsrep", Fault.NOT_READY),),  # Galera outside the Primary component; without the text: an unknown command
    1615: Fault.STALE_PLAN,  # a prepared statement that the server could not prepare anew: it did not happen
    # Push back, do not call it dead.
    1040: Fault.OVERLOADED,
    1203: Fault.OVERLOADED,
    1226: Fault.OVERLOADED,  # this user's quota; other users may do well
    1021: Fault.OVERLOADED,
    1037: Fault.OVERLOADED,
    1041: Fault.OVERLOADED,
    1114: Fault.OVERLOADED,  # table full: disk or tablespace, or a MEMORY table
    1135: Fault.OVERLOADED,  # no thread for a new connection
    # The server itself does not know.
    1180: Fault.AMBIGUOUS,  # error during COMMIT; Galera gives it when the Primary component is lost in mid-commit
    # Group Replication's hook failed at COMMIT; a majority may have it, and commit it all the same
    3100: Fault.AMBIGUOUS,
    # The statement's own, though they look like more.
    # lock wait timeout: only the statement is undone, unless `Report.undoes`; wsrep_sync_wait too
    1205: Fault.STATEMENT,
    1317: Fault.STATEMENT,  # KILL QUERY
    1969: Fault.STATEMENT,  # MariaDB max_statement_time
    3024: Fault.STATEMENT,  # MySQL max_execution_time
    3092: Fault.STATEMENT,  # START GROUP_REPLICATION: an administrator's
    3098: Fault.STATEMENT,  # a table without a primary key, which a group does not take
    1153: Fault.STATEMENT,  # a packet too large: another node would drop the connection just the same
}

SQLSTATES = {
    "08": Fault.LOST,
    "40": Fault.ROLLED_BACK,
    "25006": Fault.READ_ONLY,
    "70100": Fault.STATEMENT,
}

AT_CONNECT: dict[str | int, Fault] = {
    1044: Fault.MISCONFIGURED,
    1045: Fault.MISCONFIGURED,
    1049: Fault.MISCONFIGURED,
    1130: Fault.MISCONFIGURED,
    1227: Fault.MISCONFIGURED,
    1231: Fault.MISCONFIGURED,  # the connection's options give a variable a wrong value
    1193: Fault.MISCONFIGURED,  # or name one that this server lacks
    1251: Fault.MISCONFIGURED,
    1524: Fault.MISCONFIGURED,
    1698: Fault.MISCONFIGURED,
    1820: Fault.MISCONFIGURED,
    1862: Fault.MISCONFIGURED,
    2054: Fault.MISCONFIGURED,
    2058: Fault.MISCONFIGURED,
    2059: Fault.MISCONFIGURED,
    2061: Fault.MISCONFIGURED,
    3118: Fault.MISCONFIGURED,
    3159: Fault.MISCONFIGURED,
    4151: Fault.MISCONFIGURED,
    "28": Fault.MISCONFIGURED,
    1053: Fault.NOT_READY,
    1129: Fault.NOT_READY,  # this host is blocked after many broken connects: a matter of time, or of FLUSH HOSTS
    3032: Fault.NOT_READY,  # offline_mode
    6400: Fault.NOT_READY,  # the same, with the reason
}

MESSAGES = (
    ("wsrep has not yet prepared node", Fault.NOT_READY),
    ("access denied", Fault.MISCONFIGURED),
    ("unknown database", Fault.MISCONFIGURED),
    ("too many connections", Fault.OVERLOADED),
    ("lost connection", Fault.LOST),
    ("gone away", Fault.LOST),
    ("can't connect", Fault.LOST),
    ("connection not available", Fault.LOST),
    ("not connected", Fault.LOST),
    ("already closed", Fault.LOST),
)
