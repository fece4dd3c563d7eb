"""PostgreSQL nodes that answer and do not want work, once more, through TLS."""

from __future__ import annotations

from servers.nodes import test_readiness as readiness

make = readiness.make

test_paused_replay_is_maintenance = readiness.test_paused_replay_is_maintenance
test_smart_shutdown_is_left_without_an_error = readiness.test_smart_shutdown_is_left_without_an_error
test_too_many_connections_push_back = readiness.test_too_many_connections_push_back
