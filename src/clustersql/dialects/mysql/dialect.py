"""MySQL, MariaDB, Galera, Percona XtraDB Cluster: one dialect, for one URL may lead to any of them; the probe tells.

Codes: https://mariadb.com/kb/en/mariadb-error-code-reference/ and
https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html; 2000 to 2999 are the client library's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...core.faults import Fault
from ...core.statements.flatten import Lexicon
from ...core.statements.left import Left
from ...core.statements.rules import Rules
from ...core.view.node import Epoch, Readiness, Report, Role
from ...core.view.position import Position
from .. import Dialect, Rows
from .bookmarks import BOOKMARKS
from .group import ask_group, grouped
from .gtids import gtid_set
from .guard import GUARDING
from .members import ask_members, members
from .members import text as _text
from .pins import WHY_CALLED, WHY_LEADING
from .questions import QUESTIONS
from .settings import FORMS, SETTING

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

# SHOW is answered under wsrep_reject_queries=ALL and outside the Primary component, where every SELECT on a table is
# refused with 1047, and needs no privilege.  Nodes that lack a variable just leave it out.
VARIABLES = (
    "version", "max_connections", "read_only", "super_read_only", "innodb_read_only", "tx_read_only",
    "transaction_read_only",
    "offline_mode", "wsrep_on", "wsrep_reject_queries", "wsrep_desync", "wsrep_node_name",
    "wsrep_sst_donor_rejects_queries",
    "innodb_rollback_on_timeout",
    "pxc_maint_mode", "server_id", "hostname", "port", "server_uuid", "group_replication_group_name", "gtid_slave_pos",
    "gtid_current_pos",
    "gtid_mode", "gtid_executed",
)  # fmt: skip
STATUS = (
    "wsrep_ready", "wsrep_cluster_status", "wsrep_local_state", "wsrep_local_state_comment", "wsrep_cluster_size",
    "wsrep_cluster_state_uuid", "wsrep_cluster_conf_id", "wsrep_local_index", "wsrep_local_recv_queue",
    "wsrep_flow_control_paused", "Ssl_cipher",
    "wsrep_gcomm_uuid", "Threads_connected",
)  # fmt: skip
PROBE = (
    f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({', '.join(map(repr, VARIABLES))})",
    # SESSION: Ssl_cipher is this connection's.
    f"SHOW SESSION STATUS WHERE Variable_name IN ({', '.join(map(repr, STATUS))})",
)

_OFF = ("OFF", "0", "NO", "NONE", "DISABLED", "")
_READ_ONLY = ("read_only", "super_read_only", "innodb_read_only", "tx_read_only", "transaction_read_only")
_DETAILS = ("max_connections", "server_id", "hostname", "group_replication_group_name")


def report(answers: Sequence[Rows]) -> Report:
    """Read the answers to `PROBE`: any global read-only switch makes a replica; Galera tells its own readiness."""
    told = {_text(name).lower(): _text(value) for rows in answers for name, value in rows}
    galera = told.get("wsrep_on", "OFF") == "ON"
    readiness, why = _readiness(told, galera)
    queue = told.get("wsrep_local_recv_queue", "") if galera else ""
    closed = [name for name in _READ_ONLY if _on(told, name)]
    return Report(
        role=Role.REPLICA if closed else Role.PRIMARY,
        readiness=readiness,
        why=why or (f"{closed[0]} is on" if closed else ""),
        version=_version(told.get("version", "")),
        details=_details(told, galera),
        queue=int(queue) if queue.isdigit() else 0,
        position=None if galera else _position(told, bool(closed)),
        epoch=_epoch(told) if galera else None,
        identity=_identity(told, galera),
        server=_server(told, galera),
        undoes=frozenset({1205}) if _on(told, "innodb_rollback_on_timeout") else frozenset(),
    )


def _identity(told: Mapping[str, str], galera: bool) -> str:
    """Galera's nodes may all have the same server_id; in replication it must be unique, and MySQL has a UUID
    besides.
    """
    if galera:
        return told.get("wsrep_gcomm_uuid", "")
    server_id = told.get("server_id", "")
    return told.get("server_uuid", "") or (f"server_id {server_id}" if server_id else "")


def _server(told: Mapping[str, str], galera: bool) -> str:
    """Two servers may have the same host name and port, as in containers; in replication not the same server_id too."""
    if galera and told.get("wsrep_node_name"):
        return told["wsrep_node_name"]
    if not told.get("hostname") or not told.get("port"):
        return ""
    return f"{told['hostname']}:{told['port']}#{told.get('server_id', '')}"


def _position(told: Mapping[str, str], replica: bool) -> Position | None:
    """Where a server is in the stream of transactions: what it has applied or, as a primary, written.

    MySQL tells the set of them, which counts only while every transaction gets a GTID (``gtid_mode`` is ON).  MariaDB
    tells the last number of domain-server-number: a replica's own transactions are not in ``gtid_slave_pos``, so they
    count for nothing, and several domains are several streams, of which no one number tells how far a server is.
    https://mariadb.com/kb/en/gtid/
    """
    if "gtid_executed" in told:
        return gtid_set(told["gtid_executed"]) if told.get("gtid_mode") == "ON" else None
    parts = told.get("gtid_slave_pos" if replica else "gtid_current_pos", "").split("-")
    return int(parts[2]) if len(parts) == 3 and parts[2].isdigit() else None


def _epoch(told: Mapping[str, str]) -> Epoch | None:
    """Outside the Primary component the number is no number: it is all ones."""
    uuid, number = told.get("wsrep_cluster_state_uuid", ""), told.get("wsrep_cluster_conf_id", "")
    if not uuid or not number.isdigit() or told.get("wsrep_cluster_status") != "Primary":
        return None
    return Epoch(f"cluster {uuid}", int(number), "configuration", shared=True)


def _on(told: Mapping[str, str], name: str) -> bool:
    """Anything but off: MariaDB 12 knows more values of read_only than ON."""
    return told.get(name, "OFF").upper() not in _OFF


def _version(version: str) -> str:
    return version if "mariadb" in version.lower() or not version else f"MySQL {version}"


def _readiness(told: Mapping[str, str], galera: bool) -> tuple[Readiness, str]:
    if _on(told, "offline_mode"):
        return Readiness.MAINTENANCE, "offline_mode is on"
    if _on(told, "pxc_maint_mode"):
        mode = told["pxc_maint_mode"].upper()
        return (Readiness.DRAINING if mode == "SHUTDOWN" else Readiness.MAINTENANCE), f"pxc_maint_mode is {mode}"
    return _galera(told) if galera else (Readiness.READY, "")


def _galera(told: Mapping[str, str]) -> tuple[Readiness, str]:
    """Primary and Synced is ready.  wsrep_ready alone proves nothing: it stays ON under wsrep_reject_queries."""
    state, status = told.get("wsrep_local_state", ""), told.get("wsrep_cluster_status", "")
    if status != "Primary":
        return Readiness.NOT_READY, f"not in the Primary component (wsrep_cluster_status is {status or 'not told'})"
    if _on(told, "wsrep_reject_queries"):
        return Readiness.MAINTENANCE, f"wsrep_reject_queries is {told['wsrep_reject_queries']}"
    if state in ("1", "3"):
        return Readiness.JOINING, f"joining the cluster ({told.get('wsrep_local_state_comment', state)})"
    if told.get("wsrep_ready") != "ON":
        return Readiness.NOT_READY, "wsrep_ready is off"
    if state == "2":
        return Readiness.DONOR, "desynced by hand" if _on(told, "wsrep_desync") else "donor of a state transfer"
    return (
        (Readiness.READY, "") if state == "4" else (Readiness.NOT_READY, f"wsrep_local_state is {state or 'not told'}")
    )


def _details(told: Mapping[str, str], galera: bool) -> dict[str, str]:
    details = {name: told[name] for name in _DETAILS if name in told}
    details["tls"] = told.get("ssl_cipher") or "off"
    if galera:
        details |= {name: value for name, value in told.items() if name.startswith("wsrep_")}
    return details


_OF_SESSION = r"@@ ?(?:\u02bc?(?:session|local)\.)?\u02bc?"
"""How a variable of the session is named, up to its name."""

RULES = Rules(
    # Two hyphens begin a comment only before a space: https://mariadb.com/kb/en/comment-syntax/
    lexicon=Lexicon(line=r"--(?=\s|\Z)[^\n]*|\#[^\n]*", quotes=r"\"[^\"]*(?:\"|\Z)|`[^`]*(?:`|\Z)"),
    never_commit=frozenset("handler help kill use".split()),
    # SET commits when it turns autocommit on, or sets a password, and may when it is for another statement, which is
    # not known.
    committing="set (?:statement|.*(?:autocommit|password))",
    inserting=frozenset("insert replace load merge".split()),
    not_called=frozenset(
        """
        div enum fixed longtext mediumint mediumtext mod regexp rlike signed sounds tinyint tinytext unsigned xor year
        """.split()
    ),
    setting=SETTING,
    forms=FORMS,
    # MariaDB's SET STATEMENT a = 1 FOR SELECT ...; an expression among the settings may do anything.
    with_settings="set statement [^@(]*? for ",
    variables="@(?<!@@)(?!@)",
    why_leading=WHY_LEADING,
    why_called=WHY_CALLED,
    reading=frozenset({"select", "with", "values", "table", "show", "explain", "describe", "desc", "help", "checksum"}),
    stateless=frozenset(
        """
        select with values table show explain describe desc help checksum insert replace update delete load create alter
        drop rename truncate grant revoke analyze optimize check repair kill flush purge
        """.split()
    ),
    # https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/; a BEGIN inside a transaction commits it
    # too.
    implicit_commit=frozenset(
        """
        alter analyze backup begin binlog cache call change check checksum create do drop execute flush grant install
        load lock optimize purge rename repair reset revoke shutdown start stop truncate uninstall unlock xa
        """.split()
    ),
    pure_functions=frozenset(
        """
        count sum avg min max group_concat std stddev stddev_pop stddev_samp variance var_pop var_samp bit_and bit_or
        bit_xor any_value json_arrayagg json_objectagg row_number rank dense_rank percent_rank cume_dist ntile lag lead
        first_value last_value nth_value percentile_cont percentile_disc median grouping
        coalesce ifnull nullif isnull if nvl nvl2 greatest least interval decode
        now sysdate curdate curtime current_date current_time current_timestamp localtime localtimestamp utc_date
        utc_time utc_timestamp unix_timestamp from_unixtime date time year quarter month monthname week weekofyear
        weekday yearweek day dayname dayofmonth dayofweek dayofyear hour minute second microsecond date_add date_sub
        adddate subdate addtime subtime datediff timediff timestampdiff timestampadd date_format time_format str_to_date
        makedate maketime last_day to_days from_days to_seconds sec_to_time time_to_sec period_add period_diff extract
        convert_tz get_format abs ceil ceiling floor round truncate sqrt pow power exp ln log log2 log10 mod sign pi sin
        cos tan asin acos atan atan2 cot degrees radians rand crc32 conv bin oct hex unhex bit_count format
        lower upper lcase ucase length char_length character_length octet_length bit_length substring substr mid
        substring_index left right trim ltrim rtrim lpad rpad concat concat_ws replace repeat reverse space instr locate
        position strcmp field find_in_set elt ascii ord char insert quote soundex make_set export_set to_base64
        from_base64 regexp_replace regexp_like regexp_instr regexp_substr natural_sort_key sformat to_char
        md5 sha sha1 sha2 aes_encrypt aes_decrypt compress uncompress uncompressed_length random_bytes password
        uuid uuid_short uuid_to_bin bin_to_uuid is_uuid sys_guid inet_aton inet_ntoa inet6_aton inet6_ntoa is_ipv4
        is_ipv6 cast convert row values match json_extract json_unquote json_object json_array json_set json_insert
        json_replace json_remove json_contains json_contains_path json_keys json_length json_depth json_type json_valid
        json_search json_quote json_merge json_merge_patch json_merge_preserve json_array_append json_array_insert
        json_value json_query json_exists json_table json_pretty json_detailed json_compact json_loose json_overlaps
        json_normalize json_equals member of st_x st_y st_distance st_within st_contains st_intersects st_geomfromtext
        st_astext point st_distance_sphere vec_distance vec_distance_euclidean vec_distance_cosine vec_fromtext
        vec_totext version database schema user current_user session_user system_user connection_id charset collation
        coercibility sleep benchmark weight_string is_free_lock is_used_lock nullif lcase
        """.split()
    ),
    # Executed by a read-only session with effect, or telling what only this session knows.
    functions_with_effect=frozenset(
        """
        get_lock release_lock release_all_locks master_pos_wait master_gtid_wait source_pos_wait
        wait_for_executed_gtid_set
        wait_until_sql_thread_after_gtids wsrep_sync_wait_upto_gtid wsrep_last_written_gtid wsrep_last_seen_gtid
        last_insert_id found_rows row_count nextval setval lastval load_file sys_exec sys_eval
        service_get_read_locks service_get_write_locks service_release_locks
        group_replication_set_as_primary group_replication_switch_to_single_primary_mode
        group_replication_switch_to_multi_primary_mode group_replication_set_write_concurrency
        group_replication_set_communication_protocol asynchronous_connection_failover_add_source
        asynchronous_connection_failover_delete_source keyring_key_generate keyring_key_store keyring_key_remove
        gen_rnd_pan audit_log_rotate audit_log_filter_set_user version_tokens_set version_tokens_delete
        version_tokens_lock_exclusive version_tokens_lock_shared version_tokens_unlock query_rewrite_flush
        """.split()
    ),
    phrases_with_effect=(
        "for update", "for share", "lock in share mode", "into outfile", "into dumpfile", "procedure analyse",
    ),
    phrases_with_state=(
        "next value for", "nextval", "currval", "sql_calc_found_rows", "with read lock", "for export",
    ),
    leaving_state=r"last_insert_id ?\( ?(?!\))",
    session_readers={
        "last_insert_id": Left.GENERATED,
        "lastval": Left.GENERATED,
        "found_rows": Left.FOUND,
        "row_count": Left.COUNT,
        "wsrep_last_written_gtid": Left.WRITTEN,
        "wsrep_last_seen_gtid": Left.WRITTEN,
    },
    reading_session=(
        (_OF_SESSION + "(?:identity|last_insert_id|insert_id|rand_seed)|previous value for", Left.GENERATED),
        (_OF_SESSION + "last_gtid", Left.WRITTEN),
        (_OF_SESSION + "(?:warning_count|error_count)", Left.WARNINGS),
        (r"\A\(?show (?:warnings|errors|count|profile|profiles)\b|\binformation_schema.profiling\b", Left.WARNINGS),
        (r"\A\(?get ", Left.WARNINGS | Left.COUNT),
    ),
    reading_by_name=r"\Ashow |_variables",
    reading_session_by_name=(
        ("identity|insert_id", Left.GENERATED),
        ("last_gtid", Left.WRITTEN),
        ("warning_count|error_count", Left.WARNINGS),
    ),
    turning_on=r"set (?:session |local |@@ ?(?:session\.|local\.)?)?autocommit ?:?= ?(?:1|on|true)",
    outlasting=r"\block instance\b|\bsession authorization\b",
    # Of the connection's own mode or of one statement, for replication's use, or no variables at all.
    not_restored=frozenset(
        """
        autocommit password role tx_isolation transaction_isolation tx_read_only transaction_read_only
        timestamp insert_id last_insert_id identity rand_seed1 rand_seed2 skip_replication sql_log_bin sql_log_off
        gtid_next gtid_seq_no gtid_domain_id server_id pseudo_thread_id pseudo_slave_mode pseudo_replica_mode profiling
        profiling_history_size wsrep_on wsrep_trx_fragment_size character_set_client character_set_connection
        character_set_results
        """.split()
    ),
)  # fmt: skip

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
