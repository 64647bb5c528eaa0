"""Runs a Ray cluster until its standard input ends: a head and two one-CPU nodes.

    python ray_cluster.py PLACE

It prints the address, and, when the word "kill" is read, kills one node with -9, whose
first worker is held by the optimizer of `held.py` and writes its number into PLACE.
"""

import sys

from ray.cluster_utils import Cluster

from tests.executors.held import HOLD

MEMORY = 80 * 2**20  # bytes of the object store of a node, the least that Ray takes

head = {"num_cpus": 0, "object_store_memory": MEMORY, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=head)
try:
    each = {"num_cpus": 1, "object_store_memory": MEMORY}
    cluster.add_node(**each)
    held = cluster.add_node(**each, env_vars={HOLD: sys.argv[1]})
    cluster.wait_for_nodes(timeout=60)
    print(cluster.address, flush=True)
    for line in sys.stdin:
        assert line == "kill\n"
        cluster.remove_node(held, allow_graceful=False)
        print("killed", flush=True)
finally:
    cluster.shutdown()
