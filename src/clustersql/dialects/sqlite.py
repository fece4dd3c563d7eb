"""SQLite: one file, no server.  Codes: https://www.sqlite.org/rescode.html (primary codes; extended ones are masked by
0xff).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.faults import Fault
from ..core.statements.left import Left
from ..core.statements.rules import Rules
from ..core.view.node import Report, Role
from . import Dialect, Rows
from .questions import Questions

ERRNOS: dict[int, Fault | tuple[tuple[str, Fault], ...]] = {
    5: Fault.STATEMENT,  # SQLITE_BUSY: a lock of another process; the transaction stays open, as with MySQL's 1205
    6: Fault.STATEMENT,  # SQLITE_LOCKED
    7: Fault.OVERLOADED,  # out of memory
    8: Fault.READ_ONLY,  # also our own PRAGMA query_only
    9: Fault.STATEMENT,  # SQLITE_INTERRUPT: a write transaction is rolled back by it, a read is not
    10: Fault.LOST,  # SQLITE_IOERR: the statement may or may not be in the file
    11: Fault.LOST,  # SQLITE_CORRUPT
    13: Fault.OVERLOADED,  # disk full
    14: Fault.LOST,  # SQLITE_CANTOPEN
    23: Fault.MISCONFIGURED,  # SQLITE_AUTH
    26: Fault.MISCONFIGURED,  # SQLITE_NOTADB
}

MESSAGES = (
    ("cannot operate on a closed database", Fault.LOST),
    ("unable to open database file", Fault.LOST),
    ("disk i/o error", Fault.LOST),
    ("malformed", Fault.LOST),
    ("readonly database", Fault.READ_ONLY),
    ("database or disk is full", Fault.OVERLOADED),
    ("is locked", Fault.STATEMENT),
    ("interrupted", Fault.STATEMENT),
)

PROBE = ("SELECT sqlite_version()",)


def report(answers: Sequence[Rows]) -> Report:
    """A file that answers is a primary: whether it can be written is known only when it is written."""
    return Report(role=Role.PRIMARY, version=f"SQLite {answers[0][0][0]}")


_ABOUT = (
    "collation_list compile_options data_version database_list foreign_key_check foreign_key_list freelist_count"
    " function_list index_info index_list index_xinfo integrity_check module_list page_count pragma_list quick_check"
    " table_info table_list table_xinfo"
).replace(" ", "|")
"""What only tells, of the table or index that is named: https://www.sqlite.org/pragma.html."""
_SET = (
    "analysis_limit application_id auto_vacuum automatic_index busy_timeout cache_size cache_spill cell_size_check"
    " checkpoint_fullfsync count_changes defer_foreign_keys empty_result_callbacks encoding foreign_keys"
    " full_column_names fullfsync hard_heap_limit ignore_check_constraints journal_mode journal_size_limit"
    " legacy_alter_table locking_mode max_page_count mmap_size page_size query_only read_uncommitted"
    " recursive_triggers reverse_unordered_selects schema_version secure_delete short_column_names soft_heap_limit"
    " synchronous temp_store threads trusted_schema user_version wal_autocheckpoint writable_schema"
).replace(" ", "|")
"""What tells its value where none is given."""

RULES = Rules(
    asking=rf"pragma (?:\w+\.)?(?:(?:{_ABOUT}) ?(?:\([^()]*\)|= ?\S+)?|{_SET})",
    reading=frozenset({"select", "with", "values", "explain"}),
    stateless=frozenset(
        "select with values explain insert replace update delete create alter drop analyze reindex vacuum".split()
    ),
    # RELEASE of the outermost savepoint is a COMMIT: https://www.sqlite.org/lang_savepoint.html
    implicit_commit=frozenset({"vacuum", "release"}),
    pure_functions=frozenset(
        """
        count sum total avg min max group_concat string_agg abs coalesce ifnull iif if nullif lower upper length
        octet_length substr substring trim ltrim rtrim replace instr like glob printf format char unicode hex unhex
        quote round sign random randomblob zeroblob typeof concat concat_ws likely unlikely likelihood soundex
        date time datetime julianday strftime unixepoch timediff cast
        ceil ceiling floor trunc sqrt pow power exp ln log log10 log2 mod pi sin cos tan asin acos atan atan2 degrees
        radians json jsonb json_array jsonb_array json_object jsonb_object json_extract jsonb_extract json_set jsonb_set
        json_insert json_replace json_remove json_patch json_valid json_type json_quote json_array_length json_each
        json_tree json_group_array json_group_object json_pretty
        row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
        sqlite_version sqlite_source_id fts5 match bm25 highlight snippet rtree generate_series raise median percentile
        """.split()
    ),
    never_commit=frozenset("attach detach pragma".split()),
    inserting=frozenset({"insert", "replace"}),
    # A column's type may be any word: https://www.sqlite.org/datatype3.html
    not_called=frozenset(
        "enum fixed longtext mediumint mediumtext regexp signed tinyint tinytext unsigned year".split()
    ),
    why_leading={
        "attach": "a database is attached to its session",
        "detach": "a database is attached to its session",
        "pragma": "a setting that is not restored",
    },
    functions_with_effect=frozenset("load_extension writefile edit fts3_tokenizer".split()),
    session_readers={
        "last_insert_rowid": Left.GENERATED,
        "changes": Left.WRITTEN,
        "total_changes": Left.WRITTEN,
    },
)

DIALECT = Dialect(
    name="sqlite",
    sqlstates={},
    errnos=ERRNOS,
    messages=MESSAGES,
    at_connect={26: Fault.MISCONFIGURED, 23: Fault.MISCONFIGURED},
    lost=frozenset({10, 11, 14}),
    undone_at_commit=frozenset(),
    probe=PROBE,
    report=report,
    read_only_on=("PRAGMA query_only = ON",),
    read_only_off=("PRAGMA query_only = OFF",),
    reset=(),
    rules=RULES,
    questions=Questions(clock="SELECT (julianday('now') - 2440587.5) * 86400.0", one_writer=True),
)
