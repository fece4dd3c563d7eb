"""Real clusters and real faults on one machine, to test how a program survives them.

``PostgresCluster``, ``GaleraCluster``, ``MariaDBServer`` and ``MySQLCluster`` start servers on loopback, without Docker
and without root, and kill, freeze, demote and repair their nodes; ``PgBouncer`` stands before those of PostgreSQL;
``FaultProxy`` stands between a client and a server and delays, cuts or swallows what passes; ``Network`` drops packets
(as root); ``fail`` has the next COMMIT of a program's own test end badly, without any of these.  Needs
``pip install clustersql[testing]``; the pytest fixtures are in `clustersql.testing.fixtures`.
"""

from .galera import GaleraCluster
from .mariadb import MariaDBServer
from .mysql import MySQLCluster
from .network import Network
from .pgbouncer import PgBouncer
from .postgres import PostgresCluster
from .processes import StartError
from .proxy import FaultProxy
from .rehearsal import fail

__all__ = [
    "FaultProxy",
    "GaleraCluster",
    "MariaDBServer",
    "MySQLCluster",
    "Network",
    "PgBouncer",
    "PostgresCluster",
    "StartError",
    "fail",
]
