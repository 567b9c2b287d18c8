#!/usr/bin/python3
"""meridian up, status and down: a cluster of its own in a temporary folder, on free ports."""
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import cluster
from resp import Connection

REGIONS = ("us-east", "eu", "apac")


def free_base(nodes):
    """A port base with all the ports of `nodes` nodes free, outside the range of outgoing connections."""
    for base in range(11000 + os.getpid() % 1000 * 5, 31000, 307):
        probes = []
        try:
            for offset in (0, 100, 200):
                for i in range(1, nodes + 1):
                    probes.append(socket.create_server(("127.0.0.1", base + offset + i)))
            return base
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
    raise cluster.Failure("no free ports")


class UpTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="meridian-up-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.addCleanup(self.run_meridian, "down")

    def run_meridian(self, *words, colour=False):
        environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR" or not colour}
        done = subprocess.run([cluster.MERIDIAN, *words], cwd=self.folder, capture_output=True, text=True, timeout=120,
                              env=environment, check=False)
        return done.returncode, done.stdout, done.stderr

    def up(self, *words, nodes=3):
        self.base = free_base(nodes)
        code, said, wrong = self.run_meridian("up", "--port-base", str(self.base), *words)
        self.assertEqual(0, code, said + wrong)
        return said

    def call(self, number, *words):
        with Connection(self.base + number) as connection:
            return connection.call(*words)

    def pid(self, node):
        with open(os.path.join(self.folder, ".meridian", node + ".pid"), encoding="ascii") as file:
            return int(file.read())

    def status(self):
        code, said, _ = self.run_meridian("status")
        lines = said.splitlines()
        return code, [re.split(r"  +", line) for line in lines[1:]]

    def test_up_status_down_and_up_again(self):
        said = self.up()
        for number, region in enumerate(REGIONS, start=1):
            self.assertIn("%-10s redis-cli -p %d" % (region, self.base + number), said)
        self.assertNotIn("\033", said)
        commands = [line for line in said.splitlines() if line.startswith("  redis-cli")]
        self.assertEqual(5, len(commands), said)
        self.assertEqual("OK", self.call(1, "SET", "k", "v"))
        cluster.wait_until(lambda: self.call(3, "GET", "k") == "v", "the write reaches apac")

        code, rows = self.status()
        self.assertEqual(0, code)
        self.assertEqual(["us-east-1", "eu-1", "apac-1"], [row[0] for row in rows])
        self.assertEqual(["up"] * 3, [row[4] for row in rows])
        self.assertEqual(["1"] * 3, [row[6] for row in rows])
        self.assertEqual(["2 of 2"] * 3, [row[7] for row in rows])

        code, said, _ = self.run_meridian("down")
        self.assertEqual((0, "Stopped 3 nodes. The data stays in ./.meridian.\n"), (code, said))
        self.assertEqual((1, ["down"] * 3), (self.status()[0], [row[4] for row in self.status()[1]]))

        code, said, wrong = self.run_meridian("up")
        self.assertEqual(0, code, wrong)
        for number in (1, 2, 3):
            self.assertEqual("v", self.call(number, "GET", "k"))

    def test_up_again_restarts_only_what_is_missing(self):
        self.up("--no-wan")
        before = {node: self.pid(node) for node in ("us-east-1", "eu-1", "apac-1")}
        self.call(2, "SET", "k", "v")
        os.kill(before["eu-1"], signal.SIGKILL)
        cluster.wait_until(lambda: not os.path.exists("/proc/%d" % before["eu-1"]) or self.status()[1][1][4] == "down",
                           "eu-1 is gone")
        code, said, wrong = self.run_meridian("up")
        self.assertEqual(0, code, wrong)
        self.assertIn("is up again", said)
        self.assertNotEqual(before["eu-1"], self.pid("eu-1"))
        self.assertEqual(before["apac-1"], self.pid("apac-1"))
        self.assertEqual("v", self.call(2, "GET", "k"))
        self.assertIn("was up already", self.run_meridian("up")[1])

    def test_other_options_than_the_existing_cluster(self):
        self.up("--nodes-per-region", "2", nodes=6)
        self.assertEqual(6, len(self.status()[1]))
        for words, named in ((["--nodes-per-region", "1"], "--nodes-per-region"),
                             (["--port-base", "9000"], "--port-base"),
                             (["--no-wan"], "--no-wan")):
            code, _, wrong = self.run_meridian("up", *words)
            self.assertEqual(1, code)
            self.assertIn(named, wrong)
            self.assertIn("--wipe", wrong)

    def test_wipe_removes_what_up_made(self):
        self.up("--no-wan")
        self.call(1, "SET", "k", "v")
        code, said, wrong = self.run_meridian("down", "--wipe")
        self.assertEqual(0, code, wrong)
        self.assertIn("is gone", said)
        self.assertFalse(os.path.exists(os.path.join(self.folder, ".meridian")))
        code, said, _ = self.run_meridian("status")
        self.assertEqual(1, code)
        self.assertIn("There is no cluster in ./.meridian", said)
        self.assertEqual((0, "There is no cluster in ./.meridian.\n"), self.run_meridian("down")[:2])

    def test_a_taken_port_is_told_before_anything_starts(self):
        base = free_base(3)
        for offset, use in ((2, "client port of eu-1"), (101, "peer port of us-east-1")):
            with socket.create_server(("127.0.0.1", base + offset)):
                code, _, wrong = self.run_meridian("up", "--port-base", str(base))
            self.assertEqual(1, code)
            self.assertIn("127.0.0.1:%d, the %s" % (base + offset, use), wrong)
            self.assertIn("--port-base P", wrong)
            self.assertIn("There is no cluster", self.run_meridian("status")[1])
        self.up()
        self.run_meridian("down")
        with socket.create_server(("127.0.0.1", self.base + 3)):
            code, _, wrong = self.run_meridian("up")
        self.assertEqual(1, code)
        self.assertIn("client port of apac-1", wrong)
        self.assertNotIn("--port-base", wrong)

    def test_the_nodes_of_another_cluster_are_not_taken_for_ours(self):
        self.up("--no-wan")
        code, said, wrong = self.run_meridian("up", "--dir", "other", "--port-base", str(self.base))
        self.assertEqual((1, ""), (code, said))
        self.assertIn("is in use by another program", wrong)

    def test_a_stale_process_id_is_not_trusted(self):
        self.up("--no-wan")
        self.run_meridian("down")
        with subprocess.Popen(["sleep", "60"]) as bystander:
            with open(os.path.join(self.folder, ".meridian", "eu-1.pid"), "w", encoding="ascii") as file:
                file.write("%d\n" % bystander.pid)
            self.assertIn("Nothing runs", self.run_meridian("down")[1])
            self.assertIsNone(bystander.poll())
            bystander.kill()


if __name__ == "__main__":
    cluster.main()
