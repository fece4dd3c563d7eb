"""PostgreSQL, and what speaks its protocol and SQLSTATEs.

Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

from collections.abc import Sequence

from ...core.faults import Fault
from ...core.statements.flatten import Lexicon
from ...core.statements.left import Left
from ...core.statements.rules import Rules
from ...core.view.members import Member, Members
from ...core.view.node import Epoch, Readiness, Report, Role
from .. import Dialect, Rows
from .bookmarks import BOOKMARKS
from .guard import GUARDING
from .pins import WHY_CALLED, WHY_LEADING
from .questions import QUESTIONS
from .settings import FORMS, SETTING

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

# The timeline from the name of the log's file: pg_control_checkpoint() shows a new one only after the next checkpoint.
# One round trip.  Not current_setting('default_transaction_read_only'): our own SET SESSION CHARACTERISTICS changes
# that, and a pool's read-only connection would call a primary a replica.  reset_val keeps what a new session of this
# user starts with (postgresql.conf, ALTER SYSTEM, ALTER ROLE, ALTER DATABASE, the connection's own options).  A
# standby's timeline: what it receives is shown to pg_monitor only, what the control file says to everyone, but after
# the next restart point, so that it may be an older one.  Where a promoted primary stopped replaying its timeline
# begins, until it is restarted: then it is NULL, or after a crash something else.
PROBE = """\
SELECT pg_catalog.pg_is_in_recovery(),
       (SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'default_transaction_read_only'),
       pg_catalog.current_setting('server_version'),
       pg_catalog.current_setting('max_connections'),
       pg_catalog.current_setting('superuser_reserved_connections'),
       (SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()),
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_is_wal_replay_paused() ELSE false END,
       pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                                       ELSE pg_catalog.pg_current_wal_lsn() END, '0/0')::bigint,
       (SELECT system_identifier FROM pg_catalog.pg_control_system())::text,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
            ELSE substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) END,
       extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text,
       (SELECT max(received_tli) FROM pg_catalog.pg_stat_wal_receiver),
       CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN greatest((SELECT min_recovery_end_timeline FROM pg_catalog.pg_control_recovery()),
                          (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint())) END,
       CASE WHEN NOT pg_catalog.pg_is_in_recovery()
            THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_replay_lsn(), '0/0')::bigint END,
       pg_catalog.host(pg_catalog.inet_server_addr()) || ':' || pg_catalog.inet_server_port()"""

# Which server it is.  Through a balancer the address is the server's own, not the one that was dialled; by a socket
# there is none, and no balancer either.
WHO = """\
SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system())::text,
       extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text,
       pg_catalog.host(pg_catalog.inet_server_addr()) || ':' || pg_catalog.inet_server_port()"""

# Whom this server sends its log to, and whom it gets it from.  pg_stat_replication shows more than standbys:
# subscribers of logical replication (they have a slot, which says so), pg_receivewal and pg_basebackup.  A sender's
# port is that of its own end of the connection, not the one where the standby listens; only a standby knows the port of
# the server that it follows.  Without pg_read_all_stats the rows are there and empty.
# https://www.postgresql.org/docs/current/monitoring-stats.html
MEMBERS = """\
SELECT CASE WHEN pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') THEN 'allowed' ELSE 'refused' END::text,
       current_user::text, NULL::text, NULL::int
UNION ALL
SELECT 'follows', '', sender_host::text, sender_port FROM pg_catalog.pg_stat_wal_receiver WHERE status = 'streaming'
UNION ALL
SELECT 'sends', application_name::text, pg_catalog.host(client_addr), NULL
  FROM pg_catalog.pg_stat_replication WHERE state IN ('streaming', 'catchup')
   AND application_name NOT IN ('pg_receivewal', 'pg_basebackup')
   AND pid NOT IN (SELECT active_pid FROM pg_catalog.pg_replication_slots
                   WHERE slot_type = 'logical' AND active_pid IS NOT NULL)"""


def report(answers: Sequence[Rows]) -> Report:
    """Read the answer to `PROBE`: a standby, or a node that takes no writes by default, is a replica."""
    (row,) = answers[0]
    standby, default_read_only, version, max_connections, reserved, tls, paused, position, *history = row
    system, timeline, since, receiving, reached, forked_at, server = history
    read_only = default_read_only == "on"
    if read_only and not standby:
        position = None  # what is written there comes from nobody: it says nothing of how far it is behind
    why = "" if standby or not read_only else "default_transaction_read_only is on"
    return Report(
        role=Role.REPLICA if standby or read_only else Role.PRIMARY,
        readiness=Readiness.MAINTENANCE if paused else Readiness.READY,
        why="its replay is paused (pg_wal_replay_pause): it shows no new data" if paused else why,
        version=f"PostgreSQL {version}",
        details={
            "max_connections": str(max_connections),
            "reserved_connections": str(reserved),
            "tls": "on" if tls else "off",
            "default_transaction_read_only": str(default_read_only),
        },
        position=position,
        epoch=Epoch(f"system identifier {system}", int(timeline or "0", 16)),
        identity=_identity(system, since),
        server=server or "",
        timeline=reached or 0,
        following=receiving or 0,
        forked_at=forked_at,
    )


def who(answers: Sequence[Rows]) -> tuple[str, str]:
    """Read the answer to `WHO`: `Report.identity` and `Report.server`."""
    ((system, since, server),) = answers[0]
    return _identity(system, since), server or ""


def _identity(system: str, since: str) -> str:
    """A server has no name of its own; its start, to the microsecond, is its alone."""
    return f"{system} since {since}"


def ask_members(report: Report) -> tuple[str, ...]:
    """Return `MEMBERS`."""
    return (MEMBERS,)


def members(node: str, report: Report, answers: Sequence[Rows]) -> Members:
    """Read the answer to `MEMBERS`.  A primary knows all its standbys; a standby knows those that follow it, and whom
    it follows.
    """
    rows = answers[0]
    allowed, user = next(row[:2] for row in rows if row[0] in ("allowed", "refused"))
    if allowed == "refused":
        return Members(node, why=f"{user} may not see its replication: GRANT pg_monitor TO {user}")
    # walreceiver is what every standby is called that was given no name.
    found = tuple(
        Member(host or "", port, name if name != "walreceiver" else "")
        for kind, name, host, port in rows
        if kind in ("follows", "sends")
    )
    return Members(node, found, report.role is Role.PRIMARY, attached=any(row[0] == "follows" for row in rows))


RULES = Rules(
    # A dollar quote holds anything.  Comments nest: https://www.postgresql.org/docs/current/sql-syntax-lexical.html
    lexicon=Lexicon(
        quotes=r"\"[^\"]*(?:\"|\Z)|\$(?<![\w$]\$)(?P<tag>[^\W\d]\w*|)\$.*?(?:\$(?P=tag)\$|\Z)",
        literals="'$",
        nested=True,
        cased=True,
    ),
    never_commit=frozenset("abort discard listen move reset unlisten".split()),
    committing="prepare transaction",
    inserting=frozenset({"insert", "merge", "copy"}),
    not_called=frozenset("bpchar halfvec ilike sparsevec timestamptz timetz varbit vector".split()),
    setting=SETTING,
    forms=FORMS,
    temporary=r"\bpg_temp\b",
    why_leading=WHY_LEADING,
    why_called=WHY_CALLED,
    schemas=frozenset({"pg_catalog"}),
    reading=frozenset({"select", "with", "values", "table", "show", "explain"}),
    stateless=frozenset(
        """
        select with values table show explain insert update delete merge truncate copy create alter drop comment grant
        revoke analyze vacuum cluster reindex refresh lock notify import security checkpoint reassign
        """.split()
    ),
    # They run in a transaction of their own, or may commit inside.
    implicit_commit=frozenset({"call", "do", "vacuum", "cluster", "reindex", "checkpoint", "execute"}),
    pure_functions=frozenset(
        """
        count sum avg min max coalesce nullif greatest least array_agg string_agg json_agg jsonb_agg json_object_agg
        jsonb_object_agg bool_and bool_or every bit_and bit_or stddev stddev_pop stddev_samp variance var_pop var_samp
        corr covar_pop covar_samp regr_slope percentile_cont percentile_disc mode any_value range_agg xmlagg row_number
        rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value grouping now
        clock_timestamp statement_timestamp transaction_timestamp timeofday date_trunc date_part date_bin extract age
        make_date make_time make_timestamp make_timestamptz make_interval justify_days justify_hours justify_interval
        to_char to_date to_timestamp to_number isfinite
        abs ceil ceiling floor round trunc sqrt cbrt power pow exp ln log log10 mod div sign degrees radians pi sin cos
        tan asin acos atan atan2 random gcd lcm width_bucket factorial scale
        lower upper initcap length char_length character_length octet_length bit_length substring substr position strpos
        trim btrim ltrim rtrim lpad rpad replace translate overlay repeat reverse left right split_part concat concat_ws
        format ascii chr md5 sha224 sha256 sha384 sha512 encode decode quote_ident quote_literal quote_nullable
        starts_with regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_count
        regexp_like regexp_substr regexp_instr string_to_array string_to_table normalize to_hex unistr to_ascii
        cast row array unnest generate_series generate_subscripts array_length array_upper array_lower array_ndims
        array_position array_positions array_append array_prepend array_cat array_remove array_replace array_to_string
        cardinality array_fill array_dims trim_array
        json_build_object json_build_array jsonb_build_object jsonb_build_array json_object jsonb_object to_json
        to_jsonb row_to_json array_to_json json_array_length jsonb_array_length json_each jsonb_each json_each_text
        jsonb_each_text json_extract_path jsonb_extract_path json_extract_path_text jsonb_extract_path_text
        json_object_keys jsonb_object_keys json_array_elements jsonb_array_elements json_array_elements_text
        jsonb_array_elements_text json_typeof jsonb_typeof jsonb_set jsonb_insert jsonb_pretty jsonb_strip_nulls
        json_strip_nulls jsonb_path_query jsonb_path_exists jsonb_path_match jsonb_path_query_array
        jsonb_path_query_first json_populate_record jsonb_populate_record json_populate_recordset
        jsonb_populate_recordset json_to_record jsonb_to_record json_to_recordset jsonb_to_recordset json_value
        json_query json_exists json_table json_array json_scalar to_tsvector to_tsquery plainto_tsquery phraseto_tsquery
        websearch_to_tsquery ts_rank ts_rank_cd ts_headline setweight gen_random_uuid uuidv4 uuidv7 uuid_generate_v4
        lower_inc upper_inc isempty int4range int8range numrange tsrange tstzrange daterange version current_database
        current_schema current_schemas pg_typeof pg_column_size pg_relation_size pg_table_size pg_total_relation_size
        pg_indexes_size pg_database_size pg_size_pretty pg_get_expr pg_get_viewdef pg_get_indexdef pg_get_constraintdef
        pg_get_functiondef pg_get_userbyid pg_get_serial_sequence obj_description col_description format_type
        to_regclass to_regtype has_table_privilege has_schema_privilege has_database_privilege pg_table_is_visible
        pg_is_in_recovery pg_last_wal_replay_lsn pg_last_wal_receive_lsn pg_current_wal_lsn pg_wal_lsn_diff
        pg_last_xact_replay_timestamp pg_postmaster_start_time pg_conf_load_time current_setting
        txid_current_if_assigned pg_current_xact_id_if_assigned pg_my_temp_schema pg_listening_channels pg_backend_pid
        pg_sleep pg_sleep_for pg_sleep_until inet_server_addr inet_server_port inet_client_addr pg_stat_get_activity
        pg_blocking_pids num_nulls num_nonnulls host hostmask masklen netmask network family st_x st_y st_distance
        st_dwithin st_within st_contains st_intersects st_makepoint st_setsrid st_asgeojson
        """.split()
    ),
    # A read-only transaction executes all of these with effect, or they read what only this session has.
    functions_with_effect=frozenset(
        """
        pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_shared pg_advisory_unlock_all
        pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_try_advisory_lock pg_try_advisory_lock_shared
        pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared pg_notify set_config setseed setval nextval
        pg_terminate_backend pg_cancel_backend pg_reload_conf pg_rotate_logfile pg_promote pg_switch_wal
        pg_create_restore_point pg_backup_start pg_backup_stop pg_start_backup pg_stop_backup pg_wal_replay_pause
        pg_wal_replay_resume pg_logical_emit_message pg_create_physical_replication_slot
        pg_create_logical_replication_slot pg_drop_replication_slot pg_copy_physical_replication_slot
        pg_copy_logical_replication_slot
        pg_replication_slot_advance pg_sync_replication_slots pg_logical_slot_get_changes
        pg_logical_slot_get_binary_changes
        pg_replication_origin_create pg_replication_origin_drop pg_replication_origin_session_setup
        pg_replication_origin_session_reset pg_replication_origin_advance pg_replication_origin_xact_setup
        pg_replication_origin_xact_reset pg_stat_reset pg_stat_reset_shared pg_stat_reset_single_table_counters
        pg_stat_reset_single_function_counters pg_stat_reset_slru pg_stat_reset_replication_slot
        pg_stat_statements_reset pg_stat_force_next_flush pg_log_backend_memory_contexts pg_export_snapshot
        txid_current pg_current_xact_id pg_snapshot_xip
        lo_create lo_creat lo_import lo_export lo_unlink lo_open lo_close lo_put lo_from_bytea lowrite lo_truncate
        lo_truncate64 lo_lseek lo_lseek64 loread
        dblink dblink_exec dblink_connect dblink_connect_u dblink_disconnect dblink_send_query dblink_open dblink_close
        dblink_fetch dblink_get_result dblink_cancel_query
        pg_file_write pg_file_rename pg_file_unlink pg_file_sync pg_prewarm pg_import_system_collations
        query_to_xml cursor_to_xml query_to_xmlschema query_to_xml_and_xmlschema
        """.split()
    ),
    phrases_with_effect=("for update", "for share", "for no key update", "for key share"),
    session_readers={"currval": Left.GENERATED, "lastval": Left.GENERATED},
    # DISCARD ALL leaves them: what a library has hooked, another server's session, the seed, a slot that holds the log
    # back.
    outlasting=(
        r"(?:\A|; ?)load |\bdblink_connect|\bsetseed\b|\bset seed\b|\bpg_(?:start_backup|backup_start)\b"
        r"|\bpg_replication_origin_session_setup\b|\bpg_(?:create|copy)_(?:physical|logical)_replication_slot\b"
    ),
    keeping=(
        (r"(?:\A|; ?)set (?!local |transaction |constraints )", "SET"),
        (r"(?:\A|; ?)(?:reset|discard|deallocate) ", "RESET, DISCARD or DEALLOCATE"),
        (r"(?:\A|; ?)(?:listen|unlisten) ", "LISTEN"),
        (r"(?:\A|; ?)prepare (?!transaction )", "PREPARE"),
        (r"(?:\A|; ?)load ", "LOAD"),
        (r"(?:\A|; ?)declare .*\bwith hold\b", "a cursor WITH HOLD"),
        (r"\b(?:create|into) (?:local |global )?temp(?:orary)? (?!.*\bon commit drop\b)", "a temporary table"),
        (r"\bset_config ?\((?!.*\btrue ?\))", "set_config() without true as its third argument"),
        (r"\bdblink_connect(?:_u)? ?\(", "a connection of dblink"),
        (r"\bsetseed ?\(", "setseed()"),
        (r"\bpg_replication_origin_session_setup ?\(", "a replication origin"),
        (r"\bpg_(?:try_)?advisory_(?:un)?lock(?:_shared|_all)? ?\(", "an advisory lock of the session"),
    ),
    not_restored=frozenset(
        """
        role session_authorization is_superuser all seed transaction_isolation transaction_read_only
        transaction_deferrable default_transaction_read_only transaction_snapshot session_replication_role
        """.split()
    ),
)

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
    members=members,
    port=5432,
    bookmarks=BOOKMARKS,
)
