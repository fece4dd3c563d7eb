"""Planned work on PostgreSQL once more, through TLS."""

from __future__ import annotations

from servers.nodes import test_drain as drain

make = drain.make

test_restart_of_a_drained_standby_under_load = drain.test_restart_of_a_drained_standby_under_load
test_planned_switchover_under_load = drain.test_planned_switchover_under_load
test_open_transaction_ends_by_itself = drain.test_open_transaction_ends_by_itself
test_what_outstays_its_grace_is_ended_and_recovered = drain.test_what_outstays_its_grace_is_ended_and_recovered
