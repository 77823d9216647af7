#!/usr/bin/env python3
"""The harness, with tasq-host's rows. Copied beside it by tests/peers/run, as what its run.sh calls."""
import os

import peers

TASQ = dict(cmd=[os.environ["TASQ_PEER"]], n=20000, c=50)
# Results are kept and each job has a sandbox of its own in all of them.
OURS = {
    "tasq-host": TASQ,
    "tasq-host-noscan": dict(TASQ, env={"PAGEMAP_SCAN": "off"}),
    "tasq-host-nats": dict(TASQ, env={"BROKER": "nats"}, nats=True),
}
peers.PEERS = {**OURS, **peers.PEERS}
# Ended tasks whose records Redis keeps for as long as is usual.
finished = lambda r, n: int(r("ZCARD", "tasq:{default}:fd"))
peers.SETTLED.update({"tasq-host": finished, "tasq-host-noscan": finished})
peers.LATENCY[:0] = [("tasq-host", "defaults", {}), ("tasq-host-nats", "defaults", {})]
peers.RECOVERY += [("tasq-host", "lease 15 s (default)", {}, {}), ("tasq-host-nats", "lease 15 s (default)", {}, {})]

peers.main()
