"""An old primary that comes back from the dead, once more, through TLS."""

from __future__ import annotations

from servers.nodes import test_epoch as epoch

test_old_primary_back_from_the_dead_is_refused = epoch.test_old_primary_back_from_the_dead_is_refused
