#!/usr/bin/python3
"""Starting and stopping one server: wrong configuration, taken ports, foreign folders, restarts without loss."""
import os
import socket
import subprocess
import unittest

import cluster


def run_server(folder, *arguments, seconds=20):
    """A server that is to fail: its exit code and all that it said."""
    process = subprocess.run([cluster.MERIDIAN, "server", *arguments], cwd=folder, capture_output=True, text=True,
                             timeout=seconds, check=False)
    return process.returncode, process.stdout + process.stderr


class ConfigurationTest(cluster.TestCase):
    def fails(self, change, *expected, node="us-east-1"):
        """A configuration edited by `change` is refused with exit code 2 and all the words of `expected`."""
        c = self.cluster(start=False, regions=("us-east", "eu"))
        with open(c.config, encoding="utf-8") as file:
            text = file.read()
        with open(c.config, "w", encoding="utf-8") as file:
            file.write(change(text))
        code, said = run_server(c.folder, "--config", c.config, "--node", node)
        self.assertEqual(2, code, said)
        for words in expected:
            self.assertIn(words, said)

    def test_an_unknown_key_is_named_with_its_line(self):
        self.fails(lambda text: text.replace("faults:", "fualts:"), "cluster.yaml:", "fualts")

    def test_a_link_of_an_unknown_region(self):
        self.fails(lambda text: text.replace("between: [us-east, eu]", "between: [us-east, mars]"),
                   "cluster.yaml:6:", "mars")

    def test_the_default_table_keeps_the_contract_of_its_data(self):
        c = self.cluster(regions=("us-east",))
        c["us-east-1"].call("SET", "k", "v")
        c.stop()
        for line in ("default: {engine: ordered}", "default: {partitions: 4}"):
            with open(c.config, encoding="utf-8") as file:
                text = file.read()
            changed = os.path.join(c.folder, "changed.yaml")
            with open(changed, "w", encoding="utf-8") as file:
                file.write(text + line + "\n")
            code, said = run_server(c.folder, "--config", changed, "--node", "us-east-1")
            self.assertEqual(1, code, said)
            self.assertIn("gives table 'default' another contract than this folder's data was written under", said)
            self.assertIn("ENGINE mergeable", said)
        c.start()
        self.assertEqual("v", c["us-east-1"].call("GET", "k"))

    def test_an_address_that_is_none(self):
        self.fails(lambda text: text.replace("resp: 127.0.0.1:", "resp: 127.0.0.1:x", 1),
                   "cluster.yaml:3:", "is no address")

    def test_two_nodes_of_one_name(self):
        self.fails(lambda text: text.replace("id: eu-1", "id: us-east-1"), "cluster.yaml:4:", "us-east-1")

    def test_broken_yaml(self):
        self.fails(lambda text: text.replace("nodes:", "nodes: ["), "cluster.yaml:")

    def test_a_node_that_is_not_listed(self):
        self.fails(lambda text: text, "no node 'mars-1'", "us-east-1", "eu-1", node="mars-1")

    def test_no_such_file(self):
        code, said = run_server("/", "--config", "/nonexistent/cluster.yaml", "--node", "a")
        self.assertEqual(2, code)
        self.assertIn("/nonexistent/cluster.yaml: No such file or directory", said)

    def test_wrong_words(self):
        for words in ([], ["--config"], ["--config", "x", "--node", "y", "--shards", "0"], ["--what"]):
            code, said = run_server("/", *words)
            self.assertEqual(2, code, words)
            self.assertIn("usage: meridian server", said)


class StartTest(cluster.TestCase):
    def one(self, **options):
        return self.cluster(regions=("us-east",), **options)

    def refused(self, c, *expected, node="us-east-1"):
        code, said = run_server(c.folder, "--config", c.config, "--node", node, *c.arguments)
        self.assertEqual(1, code, said)
        for words in expected:
            self.assertIn(words, said)

    def test_taken_client_port(self):
        c = self.one(start=False)
        with socket.create_server(("127.0.0.1", c["us-east-1"].resp)):
            self.refused(c, "127.0.0.1:%d" % c["us-east-1"].resp, "ddress already in use")

    def test_taken_peer_port(self):
        c = self.one(start=False)
        with socket.create_server(("127.0.0.1", c["us-east-1"].peer)):
            self.refused(c, "127.0.0.1:%d" % c["us-east-1"].peer, "ddress already in use")

    def test_a_second_server_on_one_folder(self):
        c = self.one()
        self.refused(c, "us-east-1", str(c["us-east-1"].pid))
        self.assertEqual("PONG", c["us-east-1"].call("PING"))

    def test_the_folder_of_another_node(self):
        c = self.cluster(regions=("us-east", "eu"))
        c.stop()
        c["eu-1"].data = c["us-east-1"].data
        c.write_config()
        self.refused(c, c["us-east-1"].data, "us-east-1", node="eu-1")

    def test_another_number_of_shards(self):
        c = self.one(arguments=("--shards", 2))
        c.stop()
        c.arguments = ["--shards", "1"]
        self.refused(c, "shard")

    def test_a_damaged_identity(self):
        c = self.one()
        c.stop()
        path = os.path.join(c["us-east-1"].data, "meridian.id")
        with open(path, "r+b") as file:
            file.write(b"XXXXXXXX")
        self.refused(c, path)

    def test_a_folder_that_can_not_be_made(self):
        c = self.one(start=False)
        c["us-east-1"].data = "/dev/null/data"
        c.write_config()
        self.refused(c, "/dev/null/data")


class RestartTest(cluster.TestCase):
    def fill(self, node, count):
        with node.connect() as connection:
            replies = connection.pipeline(*[("SET", "k:%d" % i, "v%d" % i) for i in range(count)])
        self.assertEqual({"OK"}, set(replies))

    def check(self, node, count):
        with node.connect() as connection:
            replies = connection.pipeline(*[("GET", "k:%d" % i) for i in range(count)])
        self.assertEqual(["v%d" % i for i in range(count)], replies)

    def survives(self, kill, **options):
        c = self.cluster(regions=("us-east",), **options)
        self.fill(c["us-east-1"], 2000)
        c["us-east-1"].restart(kill=kill)
        self.check(c["us-east-1"], 2000)
        c["us-east-1"].restart(kill=not kill)
        self.check(c["us-east-1"], 2000)

    def test_stop_and_start(self):
        self.survives(kill=False)

    def test_kill_and_start(self):
        self.survives(kill=True)

    def test_two_shards(self):
        self.survives(kill=True, arguments=("--shards", 2))

    def test_stop_under_load_answers_or_closes(self):
        c = self.cluster(regions=("us-east",))
        with c["us-east-1"].connect() as connection:
            connection.send_bytes(b"".join(b"SET load:%d x\r\n" % i for i in range(5000)))
            c["us-east-1"].stop()
            acknowledged = 0
            try:
                while connection.read() == "OK":
                    acknowledged += 1
            except OSError:
                pass
        c["us-east-1"].start()
        with c["us-east-1"].connect() as connection:
            replies = connection.pipeline(*[("GET", "load:%d" % i) for i in range(acknowledged)])
        self.assertEqual({"x"} if acknowledged else set(), set(replies))


class ProgramTest(unittest.TestCase):
    def test_words_of_the_program(self):
        for words, code, expected in ((["help"], 0, "meridian up"), (["version"], 0, "meridian "),
                                      (["nonsense"], 2, "nonsense"),
                                      (["up", "--nonsense"], 2, "usage: meridian up"), (["status", "x"], 2, "usage"),
                                      (["down", "x"], 2, "usage")):
            done = subprocess.run([cluster.MERIDIAN, *words], capture_output=True, text=True, timeout=20, check=False)
            self.assertEqual(code, done.returncode, words)
            self.assertIn(expected, done.stdout + done.stderr)

    def test_help_of_each_subcommand(self):
        for words in (["up"], ["down"], ["status"], ["server"], ["sim"], ["plan"], ["lab"], ["lab", "run"],
                      ["lab", "list"]):
            for wish in ("--help", "-h"):
                done = subprocess.run([cluster.MERIDIAN, *words, wish], capture_output=True, text=True, timeout=20,
                                      check=False)
                self.assertEqual((0, ""), (done.returncode, done.stderr), words)
                self.assertTrue(done.stdout.startswith("usage: meridian %s" % words[0]), done.stdout)

    def test_the_wrong_word_is_named(self):
        for words, expected in ((["up", "--nonsense"], "it does not know the option '--nonsense'"),
                                (["status", "x"], "it does not know the word 'x'"), (["down", "--dir"], "--dir needs"),
                                (["up", "--port-base", "no"], "--port-base takes a number from 1 to 65235, not 'no'"),
                                (["server", "--node", "a"], "--config is missing"),
                                (["sim", "--seeds", "0"], "--seeds takes a number from 1 to"),
                                (["sim", "--seeds", "2", "--trace"], "--trace is for one seed, not for 2"),
                                (["lab"], "'list' or 'run' is missing"), (["lab", "run"], "a name is missing"),
                                (["lab", "play"], "it does not know the word 'play'"),
                                (["lab", "run", "a", "b"], "it does not know the word 'b'")):
            done = subprocess.run([cluster.MERIDIAN, *words], capture_output=True, text=True, timeout=20, check=False)
            self.assertEqual((2, ""), (done.returncode, done.stdout), words)
            first = done.stderr.splitlines()[0]
            self.assertTrue(first.startswith("meridian %s: %s" % (words[0], expected)), first)


if __name__ == "__main__":
    cluster.main()
