"""Discovery on PostgreSQL once more, through TLS: a standby that is found is dialled as its cluster's configured nodes
are.
"""

from __future__ import annotations

from servers.nodes import test_discovery as discovery

make = discovery.make

test_standbys_come_and_go = discovery.test_standbys_come_and_go
test_who_left_the_cluster_ends_its_work = discovery.test_who_left_the_cluster_ends_its_work
test_discovered_nodes_outlive_the_primary_that_told_of_them = (
    discovery.test_discovered_nodes_outlive_the_primary_that_told_of_them
)
test_one_server_under_two_addresses_is_one_node = discovery.test_one_server_under_two_addresses_is_one_node
test_without_the_privilege_nothing_is_lost = discovery.test_without_the_privilege_nothing_is_lost
