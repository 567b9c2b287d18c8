#!/usr/bin/python3
"""A full disk refuses writes with a clear error, serves reads, and takes writes again once there is room.

Needs the right to mount a small memory file system; skipped otherwise.
"""
import subprocess
import tempfile
import unittest

import cluster
from resp import RespError

SMALL, LARGE = "150m", "700m"
VALUE = "v" * 100000


class FullDiskTest(cluster.TestCase):
    def setUp(self):
        self.mount = tempfile.mkdtemp(prefix="meridian-full-")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + SMALL, "none", self.mount], capture_output=True,
                              check=False)
        if done.returncode != 0:
            raise unittest.SkipTest("no right to mount a file system")
        self.addCleanup(subprocess.run, ["umount", "--lazy", self.mount], check=False)

    def write_until_refused(self, node):
        for i in range(3000):
            reply = node.ask("SET", "k:%d" % i, VALUE)
            if isinstance(reply, RespError):
                return i, reply
        self.fail("300 MB fitted into a disk of " + SMALL)

    def test_full_and_room_again(self):
        c = self.cluster(start=False, regions=("us-east",))
        node = c["us-east-1"]
        node.data = self.mount + "/data"
        c.write_config()
        c.start()
        written, reply = self.write_until_refused(node)
        self.assertIn("no space", self.assert_error("UNAVAILABLE", reply))
        self.assertIn("aof_last_write_status:err", node.call("INFO", "persistence"))
        self.assertEqual(1, node.log_text().count("disk-full"))
        self.assertEqual(VALUE, node.call("GET", "k:%d" % (written - 1)))
        self.assertIsNone(node.call("GET", "k:%d" % written))
        subprocess.run(["mount", "-o", "remount,size=" + LARGE, self.mount], check=True)
        cluster.wait_until(lambda: node.call("SET", "after", "room") == "OK", "it takes writes again")
        node.restart(kill=True)
        self.assertEqual("room", node.call("GET", "after"))
        self.assertEqual(VALUE, node.call("GET", "k:%d" % (written - 1)))
        self.assertEqual(written + 1, node.call("DBSIZE"))

    def test_a_full_disk_at_the_start_is_said(self):
        c = self.cluster(start=False, regions=("us-east",))
        node = c["us-east-1"]
        node.data = self.mount + "/data"
        c.write_config()
        subprocess.run(["fallocate", "-l", "120m", self.mount + "/filler"], check=True)
        node.start(wait=False)
        self.assertEqual(1, node.wait_exit())
        self.assertIn("no space", node.log_text())


if __name__ == "__main__":
    cluster.main()
