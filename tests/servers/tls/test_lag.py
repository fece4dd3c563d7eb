"""``max_lag`` once more, through TLS."""

from __future__ import annotations

from servers.nodes import test_lag as lag

make = lag.make
setting = lag.setting

test_a_replica_held_back_shows_nothing_older = lag.test_a_replica_held_back_shows_nothing_older
test_a_replica_that_is_cut_off_is_not_fresh = lag.test_a_replica_that_is_cut_off_is_not_fresh
test_no_replica_is_fresh_while_the_primary_is_silent = lag.test_no_replica_is_fresh_while_the_primary_is_silent
