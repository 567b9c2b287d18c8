#!/usr/bin/python3
"""The disk that forgets does forget: tests/shim/forget.c and forget.py on files of a little program of our own."""
import os
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

import cluster
import forget

PROGRAM = """
import os, signal, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
for step in sys.argv[2:]:
    kind, _, rest = step.partition(":")
    if kind == "sync":
        os.fdatasync(fd)
    elif kind == "cut":
        os.ftruncate(fd, int(rest))
    elif kind == "size":
        os.posix_fallocate(fd, 0, int(rest))
    else:
        os.pwrite(fd, rest.encode(), int(kind))
os.kill(os.getpid(), signal.SIGKILL)
"""


@unittest.skipUnless(forget.library(cluster.MERIDIAN), "this build has no preload libraries")
class ForgetTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.mkdtemp(prefix="meridian-test-")
        self.addCleanup(shutil.rmtree, folder)
        self.disk = forget.Forgetting(os.path.join(folder, "data"), os.path.join(folder, "journal"),
                                      forget.library(cluster.MERIDIAN))
        self.path = os.path.join(self.disk.root, "file")

    def after(self, *steps, rng=None, before=None):
        """The file's content after these steps, kill -9 and a power cut."""
        if before is not None:
            with open(self.path, "wb") as file:
                file.write(before)
        subprocess.run([sys.executable, "-c", PROGRAM, self.path, *steps], check=False,
                       env={**os.environ, **self.disk.environment})
        self.disk.forget(rng)
        with open(self.path, "rb") as file:
            return file.read()

    def test_what_is_synced_stays(self):
        self.assertEqual(b"hello", self.after("0:hello", "sync"))

    def test_what_is_not_synced_goes(self):
        self.assertEqual(b"", self.after("0:hello"))
        self.assertEqual(b"hello", self.after("0:hello", "sync", "5: world", "0:J"))

    def test_the_state_at_the_last_sync_returns(self):
        self.assertEqual(b"aab", self.after("0:aaa", "2:b", "sync", "0:ccccc", "1:d", "4:e"))

    def test_lengths_return(self):
        self.assertEqual(b"abcdef", self.after("cut:2", "0:x", before=b"abcdef"))
        self.assertEqual(b"ab", self.after("cut:2", "sync", "size:4096", before=b"abcdef"))

    def test_torn_sectors_are_old_or_new(self):
        old, new = b"o" * 4096, "n" * 4096
        seen = set()
        for seed in range(20):
            content = self.after("0:" + new, before=old, rng=random.Random(seed))
            self.assertEqual(4096, len(content))
            sectors = [content[at:at + 512] for at in range(0, 4096, 512)]
            self.assertTrue(all(sector in (b"o" * 512, b"n" * 512) for sector in sectors))
            seen.add(content)
        self.assertGreater(len(seen), 10)

    def test_a_torn_end_has_holes(self):
        contents = {self.after("0:" + "n" * 2048, before=b"", rng=random.Random(seed)) for seed in range(30)}
        self.assertIn(b"", contents)
        self.assertTrue(any(b"\0" * 512 in content and b"n" in content for content in contents))


if __name__ == "__main__":
    cluster.main()
