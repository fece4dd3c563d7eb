"""What the statements of MySQL, MariaDB and Galera do, by their words."""

from __future__ import annotations

from ...core.statements.flatten import Lexicon
from ...core.statements.left import Left
from ...core.statements.rules import Rules
from .pins import WHY_CALLED, WHY_LEADING
from .settings import FORMS, SETTING

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
