#!/usr/bin/python3
"""What clients may do to a server: malformed and oversized requests, slow readers, many connections, sudden ends."""
import socket
import struct
import time

import cluster
from resp import RespError, encode

MIB = 1024 * 1024


def resident_bytes(pid):
    with open("/proc/%d/statm" % pid, encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


class ClientsTest(cluster.TestCase):
    def setUp(self):
        self.c = self.cluster(regions=("us-east",))
        self.node = self.c["us-east-1"]

    def test_malformed_bytes_get_an_error_and_are_closed(self):
        for data in (b"*1\r\n:1\r\n", b"*x\r\n", b"*1\r\n$-7\r\n", b"*99999999\r\n", b"*1\r\n$99999999999\r\n",
                     b"SET \"unbalanced\r\n", b"x" * 70000 + b"\r\n"):
            with self.node.connect() as connection:
                connection.send_bytes(data)
                reply = connection.read()
                self.assertIsInstance(reply, RespError, data[:40])
                self.assertIn("Protocol error", str(reply))
                self.assertTrue(connection.is_closed_by_server(), data[:40])
        self.assertEqual("PONG", self.node.call("PING"))

    def test_what_came_before_a_malformed_request_is_answered(self):
        with self.node.connect() as connection:
            connection.send_bytes(b"SET before 1\r\n*1\r\n:\r\n")
            self.assertEqual("OK", connection.read())
            self.assertIn("Protocol error", str(connection.read()))
            self.assertTrue(connection.is_closed_by_server())
        self.assertEqual("1", self.node.call("GET", "before"))

    def test_what_a_browser_posts_is_not_taken_for_commands(self):
        for head in (b"POST / HTTP/1.1\r\nHost: x\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n"):
            with self.node.connect() as connection:
                connection.send_bytes(head + b"\r\nSET posted 1\r\n")
                reply = connection.read()
                if head.startswith(b"GET"):
                    reply = connection.read()
                self.assertIn("HTTP", str(reply))
                self.assertTrue(connection.is_closed_by_server())
        self.assertIsNone(self.node.call("GET", "posted"))

    def test_a_byte_at_a_time(self):
        with self.node.connect() as connection:
            for byte in encode(("SET", "slowly", "done")):
                connection.send_bytes(bytes([byte]))
            self.assertEqual("OK", connection.read())

    def test_a_long_pipeline_keeps_its_order(self):
        count = 20000
        with self.node.connect() as connection:
            replies = connection.pipeline(*[("ECHO", i) for i in range(count)])
        self.assertEqual([str(i) for i in range(count)], replies)

    def test_large_values_and_memory_is_given_back(self):
        value = "v" * (8 * MIB)
        before = resident_bytes(self.node.pid)
        connections = [self.node.connect() for _ in range(8)]
        for i, connection in enumerate(connections):
            connection.send_bytes(encode(("ECHO", value))[:-1000])
        for connection in connections:
            connection.send_bytes(encode(("ECHO", value))[-1000:])
        for connection in connections:
            self.assertEqual(value, connection.read())
        cluster.wait_until(lambda: resident_bytes(self.node.pid) < before + 64 * MIB,
                           "buffers of idle clients are given back")
        for connection in connections:
            connection.close()

    def test_a_value_of_many_reads_is_stored(self):
        value = "x" * (5 * MIB + 13)
        self.assertEqual("OK", self.node.call("SET", "large", value))
        self.assertEqual(value, self.node.call("GET", "large"))

    def test_a_client_that_does_not_read(self):
        value = "v" * MIB
        self.node.call("SET", "mib", value)
        with self.node.connect(timeout=60) as slow:
            slow.send_bytes(encode(("GET", "mib")) * 200)
            time.sleep(0.5)
            self.assertEqual("PONG", self.node.call("PING"))
            for _ in range(200):
                self.assertEqual(value, slow.read())

    def test_sudden_ends(self):
        for i in range(200):
            connection = self.node.connect()
            connection.send_bytes(encode(("SET", "sudden:%d" % i, "x")) * 20)
            if i % 2:
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        self.assertEqual("PONG", self.node.call("PING"))

    def test_end_of_input_still_gets_its_replies(self):
        with self.node.connect() as connection:
            connection.send_bytes(b"PING\r\n" * 10)
            for _ in range(10):
                self.assertEqual("PONG", connection.read())
            connection.socket.shutdown(socket.SHUT_WR)
            self.assertTrue(connection.is_closed_by_server())

    def test_many_connections(self):
        connections = [self.node.connect() for _ in range(500)]
        for i, connection in enumerate(connections):
            connection.send("SET", "many:%d" % i, i)
        for connection in connections:
            self.assertEqual("OK", connection.read())
            connection.close()


class ShardsTest(cluster.TestCase):
    def test_every_connection_reaches_every_key(self):
        c = self.cluster(regions=("us-east", "eu"), arguments=("--shards", 2, "--no-wan"))
        with c["us-east-1"].connect() as connection:
            replies = connection.pipeline(*[("SET", "s:%d" % i, i) for i in range(1000)])
            self.assertEqual({"OK"}, set(replies))
        for node in c:
            cluster.wait_until(lambda node=node: node.call("GET", "s:999") == "999",
                               "the last key arrives at " + node.id)
        for _ in range(4):
            for node in c:
                with node.connect() as connection:
                    cluster.wait_until(lambda connection=connection: None not in connection.pipeline(
                        *[("GET", "s:%d" % i) for i in range(1000)]), "all keys arrive")
        self.assertEqual("OK", c["us-east-1"].call("TABLE", "CREATE", "t", "CONFLICT", "siblings"))
        self.assertEqual("OK", c["eu-1"].call("SET", "t:1", "x"))
        c.wait_all("x", "GET", "t:1")


if __name__ == "__main__":
    cluster.main()
