#!/usr/bin/python3
"""Programs written for Redis work unchanged: redis-cli, redis-benchmark, redis-py, node-redis and ioredis.

Each client also runs against Debian's Redis first, so that a failure here is ours and not the test's.
"""
import os
import shutil
import subprocess
import tempfile
import unittest

import cluster

CLIENTS = os.path.join(cluster.ROOT, "tests", "clients")
SECONDS = 120


class Servers(cluster.TestCase):
    """The ports to try a client on: Redis itself, then a node of a cluster with three regions."""

    def ports(self):
        folder = tempfile.mkdtemp(prefix="meridian-test-")
        self.addCleanup(shutil.rmtree, folder)
        redis_port = cluster.PORTS.take()
        server = cluster.redis_server(folder, redis_port)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        cluster.wait_until(lambda: cluster.answers_ping(redis_port), "Redis answers")
        yield "redis", redis_port
        yield "meridian", self.cluster()["eu-1"].resp

    def run_program(self, argv, **options):
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS,
                              stdin=subprocess.DEVNULL, **options)
        self.assertEqual(0, done.returncode, "%s\n%s" % (" ".join(argv), done.stdout))
        return done.stdout


class CommandLineTest(Servers):
    def test_redis_cli(self):
        for server, port in self.ports():
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
        for server, port in self.ports():
            with self.subTest(server):
                out = self.run_program(["redis-benchmark", "-p", str(port), "-n", "5000", "-P", "16", "-r", "1000",
                                        "-q", "--csv", "-t", ",".join(tests)])
                self.assertEqual(len(tests) + 1, len(out.strip().splitlines()), out)
                self.assertNotIn("rror", out)


class PythonTest(Servers):
    def test_redis_py(self):
        import redis
        for server, port in self.ports():
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
                listener.subscribe("news")
                cluster.wait_until(lambda: client.publish("news", "hello"), "someone listens")
                message = cluster.wait_until(listener.get_message, "the message arrives")
                self.assertEqual(("news", "hello"), (message["channel"], message["data"]))
                listener.close()
                client.close()


@unittest.skipUnless(os.path.isdir(os.path.join(CLIENTS, "node_modules", "ioredis")),
                     "tests/clients/node_modules is missing: tools/setup could not install it")
class NodeTest(Servers):
    def run_script(self, name):
        for server, port in self.ports():
            with self.subTest(server):
                out = self.run_program(["node", name, str(port), "client"], cwd=CLIENTS)
                self.assertTrue(out.endswith(": ok\n"), out)

    def test_node_redis(self):
        self.run_script("node_redis.mjs")

    def test_ioredis(self):
        self.run_script("ioredis.mjs")


if __name__ == "__main__":
    cluster.main()
