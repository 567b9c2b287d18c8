#!/usr/bin/python3
"""Programs written for Redis work unchanged: redis-cli, redis-benchmark, redis-py, node-redis and ioredis.

Each client also runs against Debian's Redis first, so that a failure here is ours and not the test's.
"""
import os
import shutil
import subprocess
import tempfile
import threading
import unittest

import cluster

CLIENTS = os.path.join(cluster.ROOT, "tests", "clients")
SECONDS = 120


CHANNEL = "__conflicts__:default"


class Servers(cluster.TestCase):
    """The servers to try a client on: Redis itself, then a node of a cluster with three regions. Each comes as its
    name, its port, and a function that makes a message arrive on CHANNEL: by PUBLISH, or by a conflict between regions.
    """

    def servers(self):
        folder = tempfile.mkdtemp(prefix="meridian-test-")
        self.addCleanup(shutil.rmtree, folder)
        redis_port = cluster.PORTS.take()
        server = cluster.redis_server(folder, redis_port)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        cluster.wait_until(lambda: cluster.answers_ping(redis_port), "Redis answers")
        yield "redis", redis_port, lambda: self.publish(redis_port)
        c = self.cluster()
        yield "meridian", c["eu-1"].resp, lambda: self.make_conflict(c)

    def publish(self, port):
        with cluster.Connection(port) as connection:
            connection.call("PUBLISH", CHANNEL, "hello")

    def make_conflict(self, c):
        c["eu-1"].call("FAULT", "CUT", "eu", "apac")
        c["eu-1"].call("SET", "contested", "eu")
        c["apac-1"].call("SET", "contested", "apac")
        c["eu-1"].call("FAULT", "HEAL")

    def run_program(self, argv, **options):
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS,
                              stdin=subprocess.DEVNULL, **options)
        self.assertEqual(0, done.returncode, "%s\n%s" % (" ".join(argv), done.stdout))
        return done.stdout


class CommandLineTest(Servers):
    def test_redis_cli(self):
        for server, port, _ in self.servers():
            with self.subTest(server):
                def cli(*words):
                    return self.run_program(["redis-cli", "-e", "-p", str(port), *words])
                self.assertEqual("OK\n", cli("SET", "k", "v"))
                self.assertEqual("v\n", cli("GET", "k"))
                self.assertEqual("2\n", cli("-3", "HSET", "h", "a", "1", "b", "2"))
                self.assertEqual("a\n1\nb\n2\n", cli("HGETALL", "h"))
                self.assertEqual({"k", "h"}, set(cli("--scan").split()))

    def test_redis_benchmark(self):
        tests = ["set", "get", "incr", "hset", "sadd", "mset"]
        for server, port, _ in self.servers():
            with self.subTest(server):
                out = self.run_program(["redis-benchmark", "-p", str(port), "-n", "5000", "-P", "16", "-r", "1000",
                                        "-q", "--csv", "-t", ",".join(tests)])
                self.assertEqual(len(tests) + 1, len(out.strip().splitlines()), out)
                self.assertNotIn("rror", out)


class PythonTest(Servers):
    def test_redis_py(self):
        import redis
        for server, port, make_message in self.servers():
            with self.subTest(server):
                client = redis.Redis(port=port, decode_responses=True)
                self.assertTrue(client.ping())
                self.assertTrue(client.set("s", "v", px=100000))
                self.assertEqual("v", client.get("s"))
                self.assertGreater(client.pttl("s"), 90000)
                self.assertEqual(3, client.incr("n", 3))
                self.assertEqual(2, client.hset("h", mapping={"a": 1, "b": 2}))
                self.assertEqual({"a": "1", "b": "2"}, client.hgetall("h"))
                self.assertEqual(2, client.sadd("set", "x", "y"))
                self.assertEqual({"x", "y"}, client.smembers("set"))
                self.assertEqual(["v", None], client.mget("s", "none"))
                pipe = client.pipeline(transaction=False)
                for number in range(200):
                    pipe.set("p%d" % number, number)
                self.assertEqual([True] * 200, pipe.execute())
                self.assertEqual(200, len(list(client.scan_iter(match="p*", count=20))))
                self.assertEqual(1, client.delete("s", "none"))
                self.assertIn("redis_version", client.info())
                with self.assertRaises(redis.ResponseError):
                    client.execute_command("NOSUCHCOMMAND")
                listener = client.pubsub(ignore_subscribe_messages=True)
                listener.subscribe(CHANNEL)
                listener.get_message(timeout=5)
                make_message()
                message = cluster.wait_until(listener.get_message, "the message arrives")
                self.assertEqual(CHANNEL, message["channel"])
                self.assertTrue(message["data"])
                listener.close()
                client.close()


@unittest.skipUnless(os.path.isdir(os.path.join(CLIENTS, "node_modules", "ioredis")),
                     "tests/clients/node_modules is missing: tools/setup could not install it")
class NodeTest(Servers):
    def run_script(self, name):
        for server, port, make_message in self.servers():
            with self.subTest(server):
                with subprocess.Popen(["node", name, str(port), "client", CHANNEL], cwd=CLIENTS, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as program:
                    watchdog = threading.Timer(SECONDS, program.kill)
                    watchdog.start()
                    lines = []
                    for line in program.stdout:
                        lines.append(line)
                        if line == "listening\n":
                            make_message()
                    watchdog.cancel()
                self.assertEqual(0, program.returncode, "".join(lines))
                self.assertTrue(lines[-1].endswith(": ok\n"), "".join(lines))

    def test_node_redis(self):
        self.run_script("node_redis.mjs")

    def test_ioredis(self):
        self.run_script("ioredis.mjs")


if __name__ == "__main__":
    cluster.main()
