"""What the statements of PostgreSQL do, by their words."""

from __future__ import annotations

from ...core.statements.flatten import Lexicon
from ...core.statements.left import Left
from ...core.statements.rules import Rules
from .pins import WHY_CALLED, WHY_LEADING
from .settings import FORMS, SETTING

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
