"""What both APIs know of a guarded COMMIT, where no server is needed to see it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import clustersql
from clustersql import TransactionLost
from clustersql.connection.guard import Token, outdated
from clustersql.connection.statements import LONG, MOST, StatementCache
from clustersql.core.view.node import Epoch
from clustersql.dialects import by_name


def test_an_id_of_an_older_history_is_not_committed_under() -> None:
    """It would name an old primary as good enough to be asked, which could say "void" of what the new one has."""
    shop = clustersql.Cluster("shop", driver="psycopg", commit_guard=True)
    guard = shop._topology.guard
    assert guard is not None
    newest: Epoch | None = Epoch("L", 2)
    state: Any = SimpleNamespace(topology=SimpleNamespace(view=SimpleNamespace(epoch=newest), guard=guard))
    state.error = lambda kind, words: kind(words)
    token = Token(b"0" * 16)
    for epoch, exported, wrong in ((1, True, True), (2, True, False), (1, False, False)):
        token.id, token.exported = str(guard.commit_id(token.value, Epoch("L", epoch))), exported
        assert isinstance(outdated(state, token), TransactionLost) is wrong
    token.id, token.exported = str(guard.commit_id(token.value, None)), True
    assert outdated(state, token) is None
    shop.close()


def test_what_leaves_the_guard_alone_is_remembered_within_bounds() -> None:
    cache = StatementCache(by_name("postgresql").rules)
    for number in range(MOST + 7):
        cache.keep(f"SELECT 1 /* {number} */")
    cache.keep("SELECT " + "1" * LONG)
    assert len(cache.keeping) == 7
