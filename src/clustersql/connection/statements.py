"""What is known of the statements a cluster has seen: their traits, worked out once per text."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from hashlib import blake2b
from sys import getsizeof
from typing import Any

from ..core.recovery.verdict import Phase
from ..core.statements.flatten import uncommented
from ..core.statements.pins import Pin, pin_of, without_values
from ..core.statements.rules import Rules
from ..core.statements.traits import UNKNOWN, Traits, outlasts, traits

UNSET: Any = object()
"""Parameters that were not given: some drivers refuse None, others read it as "no parameters"."""

LEFT = replace(UNKNOWN, once=True)
"""The traits of a statement whose further results are read: it is not sent again."""

MOST = 4096
"""Texts remembered; with more (literals in the text instead of parameters) everything is forgotten and learned anew."""
MOST_BYTES = 4 << 20
"""What the texts may take in all, likewise."""
LONG = 4096
"""Characters beyond which only a text's digest is remembered, so that it always takes the way of what something must be
noted of."""


class StatementCache:
    """A cache of `core.statements.traits.traits`.  Shared by threads without a lock: the worst race works a text out
    twice.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.plain: set[Any] = set()
        """The texts that leave nothing behind."""
        self.proven: set[Any] = set()
        """Those of them that moreover have no effect in a read-only session."""
        self.keeping: set[Any] = set()
        """The texts that were found to leave the commit guard alone."""
        self._known: dict[Hashable, Traits] = {}
        self._bytes = 0

    def harmless(self, proven: bool) -> set[Any]:
        """Return the texts that need nothing to be noted: where effects must be told from none, ``proven``, only those
        that have none.
        """
        return self.proven if proven else self.plain

    def look(self, operation: Any) -> Traits:
        """Return what is known of a statement."""
        if operation.__class__ is not str:
            return traits(operation, self.rules)
        found = self._known.get(operation)
        if found is not None:
            return found
        bare = uncommented(operation, self.rules.lexicon)
        if (
            bare is not operation
        ):  # a comment at the end is another one each time: the text before it is what is remembered
            found = self._known.get(bare) or self._learn(bare)
        return self._learn(operation) if found is None or found is UNKNOWN else found

    def _learn(self, text: str) -> Traits:
        long = len(text) > LONG
        key: Hashable = blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest() if long else text
        found = self._known.get(key)
        if found is not None:
            return found
        if len(self._known) >= MOST or self._bytes >= MOST_BYTES:
            self._known.clear()
            self.plain.clear()
            self.proven.clear()
            self.keeping.clear()
            self._bytes = 0
        found = self._known[key] = traits(text, self.rules)
        self._bytes += getsizeof(key)
        if found.plain and not long:
            self.plain.add(text)
            if found.read:
                self.proven.add(text)
        return found

    def keep(self, operation: str) -> None:
        """Remember that a statement leaves the commit guard alone."""
        if len(self.keeping) >= MOST:  # each may end in another comment
            self.keeping.clear()
        if len(operation) <= LONG:
            self.keeping.add(operation)

    @staticmethod
    def many(one: Traits) -> Traits:
        """Return the traits of a statement that is run many times without a transaction: each run may commit by
        itself.
        """
        return replace(one, plain=False, may_commit=True, many=True)

    def told_once(self, operation: Any, one: Traits | None) -> Traits:
        """Return the traits of a statement whose parameters can be read once only.  ``one`` None: it leaves nothing
        behind.
        """
        return replace(self.look(operation) if one is None else one, once=True)

    def pin(self, operation: Any) -> Pin:
        """Return what a statement that leaves state says in `Connection.pins`."""
        return pin_of(operation, self.rules)

    def shown(self, operation: Any) -> str:
        """Return a statement as anybody may see it."""
        return without_values(operation, self.rules)

    def outlasts(self, operation: Any) -> bool:
        """Tell whether a statement that leaves state is known to leave what no reset undoes."""
        return outlasts(operation, self.rules)


def phase_of(traits: Traits | None) -> Phase:
    """A COMMIT that is sent as a statement is a COMMIT."""
    return Phase.COMMIT if traits is not None and traits.commits else Phase.EXECUTE
