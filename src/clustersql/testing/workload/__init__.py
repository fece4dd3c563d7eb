"""A program that reads and writes while its servers are broken, and the proof that it was told the truth.

`Workload` is one of threads, `AsyncWorkload` one of tasks; each knows of every write what it was told: acknowledged,
failed, or of unknown outcome.  ``load.prove()`` compares that with what the database holds.  `prove` alone compares
whatever another program has noted.

    with clustersql.open("shop") as db:
        load = Workload(db)
        load.create("n1", "n2", "n3")
        with load:
            load.progress()
            servers.kill("n1")
            load.progress()
        proof = load.prove()
        assert proof.holds, proof
"""

from .proof import Proof, prove
from .tables import Tables
from .tasks import AsyncWorkload
from .threads import Workload
from .told import Told

__all__ = ["AsyncWorkload", "Proof", "Tables", "Told", "Workload", "prove"]
