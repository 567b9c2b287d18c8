#!/usr/bin/python3
"""kill -9, thirty times under load, on real processes: no acknowledged write is lost.

Writers in every region write keys that nobody else writes, increment shared counters and add to shared sets, and note
what was acknowledged. A node is killed at a random moment and started again, and must at once show everything that it
ever acknowledged. In the second test the disk also forgets at each kill what was written and not synced
(tests/shim/forget.c), and in the third a random half of that, sector by sector.
"""
import os
import random
import threading
import time
import unittest

import cluster
import forget
from resp import RespError

KILLS = 30
REGIONS = ("us-east", "eu", "apac")
WRITERS_A_NODE = 2
PIPELINE = 8
LOAD_SECONDS = (0.05, 0.4)
COUNTERS = 4


class Writer(threading.Thread):
    """Writes to one node for as long as it is asked to; survives its crashes. Every acknowledgement is in `acked`."""

    def __init__(self, node, name):
        super().__init__(daemon=True)
        self.node = node
        self.name = name
        self.stopping = threading.Event()
        self.number = 0
        self.acked = []             # keys of the form name:number, whose value is their number
        self.counted = [0] * COUNTERS
        self.maybe_counted = [0] * COUNTERS
        self.members = []
        self.refusals = {}

    def run(self):
        while not self.stopping.is_set():
            try:
                with self.node.connect(timeout=20) as connection:
                    while not self.stopping.is_set():
                        self.batch(connection)
            except OSError:
                time.sleep(0.01)

    def batch(self, connection):
        first = self.number
        self.number += PIPELINE
        counter = first // PIPELINE % COUNTERS
        commands = [("SET", "%s:%d" % (self.name, n), n) for n in range(first, first + PIPELINE)]
        commands.append(("INCR", "counter:%d" % counter))
        commands.append(("SADD", "members", "%s:%d" % (self.name, first)))
        self.maybe_counted[counter] += 1
        for command in commands:
            connection.send(*command)
        for command in commands:
            reply = connection.read()
            if isinstance(reply, RespError):
                self.refusals[str(reply)] = self.refusals.get(str(reply), 0) + 1
                if command[0] == "INCR" and reply.code != "UNKNOWN":
                    self.maybe_counted[counter] -= 1
            elif command[0] == "SET":
                self.acked.append(command[1])
            elif command[0] == "INCR":
                self.counted[counter] += 1
                self.maybe_counted[counter] -= 1
            else:
                self.members.append(command[2])


class KillTest(cluster.TestCase):
    def kill_under_load(self, after_kill):
        """Kill a random node KILLS times; after_kill(node) is called while it is down."""
        rng = random.Random(20261123)
        self.writers = [Writer(node, "%s-%d" % (node.id, number))
                        for node in self.c for number in range(WRITERS_A_NODE)]
        for writer in self.writers:
            writer.start()
        try:
            for round_number in range(KILLS):
                time.sleep(rng.uniform(*LOAD_SECONDS))
                node = rng.choice(list(self.c))
                node.kill()
                own = {writer: len(writer.acked) for writer in self.writers if writer.node is node}
                after_kill(node)
                node.start()
                for writer, count in own.items():
                    self.check_keys(node, writer.acked[max(0, count - 200):count], "after kill %d" % (round_number + 1))
        finally:
            for writer in self.writers:
                writer.stopping.set()
            for writer in self.writers:
                writer.join(30)
        self.check_everything_everywhere()

    def missing(self, node, keys):
        found = node.call("MGET", *keys) if keys else []
        return [key for key, value in zip(keys, found) if value != key.rsplit(":", 1)[1]]

    def check_keys(self, node, keys, when):
        missing = self.missing(node, keys)
        self.assertEqual([], missing, "%s, %s: %d acknowledged writes are lost" % (node.id, when, len(missing)))

    def check_everything_everywhere(self):
        acked = [key for writer in self.writers for key in writer.acked]
        members = {member for writer in self.writers for member in writer.members}
        self.assertGreater(len(acked), KILLS * PIPELINE)
        for node in self.c:
            for at in range(0, len(acked), 1000):
                keys = acked[at:at + 1000]
                cluster.wait_until(lambda keys=keys, node=node: not self.missing(node, keys),
                                   "%s shows every acknowledged key" % node.id, seconds=60)
            cluster.wait_until(lambda node=node: members <= set(node.call("SMEMBERS", "members")),
                               "%s shows every acknowledged member" % node.id, seconds=60)
        for counter in range(COUNTERS):
            least = sum(writer.counted[counter] for writer in self.writers)
            most = least + sum(writer.maybe_counted[counter] for writer in self.writers)
            key = "counter:%d" % counter
            value = cluster.wait_until(lambda key=key: self.c.all_equal("GET", key), "%s converges" % key, seconds=60)
            self.assertTrue(least <= int(value[0]) <= most, "%s: %d <= %s <= %d" % (key, least, value[0], most))
        refusals = sum(sum(writer.refusals.values()) for writer in self.writers)
        print("%d acknowledged, %d refused" % (len(acked) + len(members), refusals), flush=True)

    def test_kill_9(self):
        self.c = self.cluster(regions=REGIONS)
        self.kill_under_load(lambda node: None)

    def forgetting_cluster(self):
        preload = forget.library(cluster.MERIDIAN)
        if not preload:
            self.skipTest("this build has no preload libraries")
        self.c = self.cluster(regions=REGIONS, start=False)
        self.disks = {}
        for node in self.c:
            self.disks[node] = forget.Forgetting(node.data, os.path.join(self.c.folder, node.id + ".journal"), preload)
            node.environment = self.disks[node].environment
        self.c.start()

    def test_kill_9_and_a_disk_that_forgets(self):
        self.forgetting_cluster()
        changed = []
        self.kill_under_load(lambda node: changed.append(self.disks[node].forget()))
        self.assertGreater(sum(changed), 0, "nothing was ever unsynced: the shim sees no writes")

    def test_kill_9_and_a_disk_that_tears(self):
        self.forgetting_cluster()
        rng = random.Random(7)
        self.kill_under_load(lambda node: self.disks[node].forget(rng))


if __name__ == "__main__":
    cluster.main()
