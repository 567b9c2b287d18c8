#!/usr/bin/python3
"""The harness itself, against Debian's Redis: its client speaks both versions, its ports are free, its waits end."""
import shutil
import tempfile
import unittest

import cluster
from resp import RespError


class HarnessTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.mkdtemp(prefix="meridian-test-")
        self.addCleanup(shutil.rmtree, folder)
        self.port = cluster.PORTS.take()
        server = cluster.redis_server(folder, self.port)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        cluster.wait_until(lambda: cluster.answers_ping(self.port), "Redis answers")

    def connect(self, protocol):
        connection = cluster.Connection(self.port, protocol=protocol)
        self.addCleanup(connection.close)
        return connection

    def test_resp2(self):
        c = self.connect(2)
        self.assertEqual("OK", c.call("SET", "k", b"\xff\r\n"))
        self.assertEqual(b"\xff\r\n".decode("utf-8", "surrogateescape"), c.call("GET", "k"))
        self.assertIsNone(c.call("GET", "none"))
        self.assertEqual(2, c.call("HSET", "h", "a", 1, "b", 2))
        self.assertEqual(["a", "1", "b", "2"], c.call("HGETALL", "h"))
        self.assertEqual({"a": "1", "b": "2"}, cluster.as_map(c.call("HGETALL", "h")))

    def test_resp3(self):
        c = self.connect(3)
        c.call("HSET", "h", "a", 1)
        c.call("SADD", "s", "x", "y")
        self.assertEqual({"a": "1"}, c.call("HGETALL", "h"))
        self.assertEqual({"x", "y"}, c.call("SMEMBERS", "s"))
        self.assertIsNone(c.call("GET", "none"))

    def test_errors_are_returned_or_raised(self):
        c = self.connect(2)
        self.assertEqual("ERR", c.ask("NOSUCH").code)
        with self.assertRaises(RespError):
            c.call("NOSUCH")

    def test_pipeline_keeps_the_order(self):
        c = self.connect(2)
        replies = c.pipeline(*[("ECHO", n) for n in range(1000)])
        self.assertEqual([str(n) for n in range(1000)], replies)

    def test_pushes_are_no_replies(self):
        c, other = self.connect(3), self.connect(2)
        self.assertEqual(["subscribe", "news", 1], self.subscribe(c, "news"))
        other.call("PUBLISH", "news", "hello")
        self.assertEqual("PONG", c.call("PING"))
        self.assertEqual(["message", "news", "hello"], c.read_push())

    def subscribe(self, connection, channel):
        connection.send("SUBSCRIBE", channel)
        return connection.read_push()

    def test_ports_are_distinct(self):
        ports = [cluster.PORTS.take() for _ in range(3 * cluster.PORT_BLOCK)]
        self.assertEqual(len(ports), len(set(ports)))

    def test_a_wait_ends_and_says_for_what(self):
        with self.assertRaisesRegex(cluster.Failure, "pigs fly"):
            cluster.wait_until(lambda: False, "pigs fly", seconds=0.1)


if __name__ == "__main__":
    cluster.main()
