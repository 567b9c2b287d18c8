#!/usr/bin/python3
"""Tables of ENGINE ordered on real processes: what is acknowledged stays, reads are linearizable from any node, and who
can't keep its promise says so before it does anything."""
import threading
import time

import cluster
from resp import RespError

CREATE = ("TABLE", "CREATE", "accounts", "ENGINE", "ordered", "DURABILITY", "majority+regions:2", "PARTITIONS", 4)


def works(node, key="accounts:probe"):
    return lambda: node.ask("SET", key, "x") == "OK"


class Writer(threading.Thread):
    """Adds one after the other to a counter of its own, and remembers what was acknowledged."""

    def __init__(self, node, name):
        super().__init__()
        self.node, self.key = node, "accounts:%s" % name
        self.acknowledged = self.unknown = self.refused = 0
        self.errors = []
        self.stopping = False

    def run(self):
        connection = self.node.connect(timeout=20)
        while not self.stopping:
            try:
                reply = connection.ask("INCR", self.key)
            except OSError as error:
                self.errors.append(str(error))
                self.unknown += 1
                return
            if isinstance(reply, RespError):
                self.errors.append(str(reply))
                self.unknown += reply.code == "UNKNOWN"
                self.refused += reply.code == "UNAVAILABLE"
                if reply.code not in ("UNKNOWN", "UNAVAILABLE"):
                    return
                continue
            self.acknowledged += 1
        connection.close()


class OrderedTest(cluster.TestCase):
    def table(self, **options):
        made = self.cluster(**options)
        first = next(iter(made))
        self.assertEqual("OK", first.call(*CREATE))
        for node in made:
            for number in range(16):
                cluster.wait_until(works(node, "accounts:probe-%d" % number), "%s finds a leader" % node.id)
        return made

    def test_commands_have_redis_meaning(self):
        made = self.table()
        us, eu, apac = made
        self.assertEqual("OK", us.call("SET", "accounts:a", "1"))
        self.assertEqual("1", eu.call("GET", "accounts:a"))
        self.assertEqual(0, eu.call("SETNX", "accounts:a", "2"))
        self.assertEqual(1, eu.call("SETNX", "accounts:b", "2"))
        self.assertIsNone(apac.call("SET", "accounts:a", "3", "NX"))
        self.assertEqual("1", apac.call("GETSET", "accounts:a", "3"))
        self.assertEqual(4, us.call("INCR", "accounts:a"))
        self.assertEqual("4", eu.call("SET", "accounts:a", "5", "GET"))
        self.assert_error("WRONGTYPE", us.ask("HGET", "accounts:a", "f"))
        self.assertEqual(2, us.call("HSET", "accounts:h", "f", "1", "g", "2"))
        self.assertEqual({"f": "1", "g": "2"}, cluster.as_map(eu.call("HGETALL", "accounts:h")))
        self.assertEqual(1, us.call("DEL", "accounts:a"))
        self.assertIsNone(apac.call("GET", "accounts:a"))
        self.assertEqual(["2", None], apac.call("MGET", "accounts:b", "accounts:a"))
        self.assertEqual("OK", us.call("SET", "accounts:e", "1", "PX", 200))
        cluster.wait_until(lambda: eu.call("GET", "accounts:e") is None, "the key expires everywhere")

    def test_reads_see_what_was_acknowledged_before(self):
        made = self.table()
        nodes = list(made)
        for number in range(60):
            self.assertEqual("OK", nodes[number % 3].call("SET", "accounts:r", number))
            self.assertEqual(str(number), nodes[(number + 1) % 3].call("GET", "accounts:r"))

    def test_pipelined_requests_keep_their_order(self):
        made = self.table()
        for node in made:
            connection = node.connect()
            words = []
            for number in range(100):
                words += [("SET", "accounts:p", number), ("GET", "accounts:p")]
            for replies in [connection.pipeline(*words)]:
                self.assertEqual([str(number) for number in range(100)], replies[1::2])
            connection.close()

    def test_keys_of_several_groups_are_refused_as_a_whole(self):
        us = next(iter(self.table()))
        words = ["accounts:m%d" % n for n in range(20)]
        self.assert_error("CONTRACT", us.ask("SINTERSTORE", *words))
        self.assert_error("CONTRACT", us.ask("MSET", "users:1", 1, *[word for name in words for word in (name, 1)]))
        names = ["accounts:m%d" % n for n in range(20)]
        self.assertEqual(0, us.call("EXISTS", *names))
        for name in names[5:]:
            self.assertEqual("OK", us.call("SET", name, name))
        self.assertEqual([None] * 5 + names[5:], us.call("MGET", *names))
        self.assertEqual(16, us.call("EXISTS", names[7], *names))

    def test_an_id_is_done_once_wherever_it_is_sent(self):
        made = self.table()
        for node in made:
            self.assertEqual(7, node.call("IDEMPOTENT", "add-7", "INCRBY", "accounts:i", 7))
        for node in made:
            self.assertEqual("7", node.call("GET", "accounts:i"))
            outcome = cluster.as_map(node.call("OUTCOME", "add-7", "KEY", "accounts:i"))
            self.assertEqual({"state": "done", "reply": 7}, outcome)
        us, eu, apac = made
        self.assertEqual("unknown", cluster.as_map(us.call("OUTCOME", "late", "KEY", "accounts:i"))["state"])
        cancelled = cluster.as_map(eu.call("OUTCOME", "late", "KEY", "accounts:i", "CANCEL"))
        self.assertEqual("cancelled", cancelled["state"])
        self.assert_error("UNAVAILABLE", apac.ask("IDEMPOTENT", "late", "INCRBY", "accounts:i", 7))
        self.assertEqual("done", cluster.as_map(us.call("OUTCOME", "add-7", "KEY", "accounts:i", "CANCEL"))["state"])
        self.assert_error("CONTRACT", us.ask("IDEMPOTENT", "x", "INCR", "users:1"))
        self.assert_error("CONTRACT", us.ask("IDEMPOTENT", "x", "PING"))

    def test_the_keyspace_shows_ordered_tables(self):
        made = self.table()
        us, eu, _ = made
        names = {"accounts:s%d" % number for number in range(40)}
        for name in names:
            self.assertEqual("OK", us.call("SET", name, 1))
        self.assertEqual(1, us.call("LPUSH", "accounts:list", "a"))
        us.call("SET", "users:1", "mergeable")
        names.add("accounts:list")
        cluster.wait_until(lambda: names <= set(eu.call("KEYS", "accounts:*")), "eu has applied them")
        cluster.wait_until(lambda: eu.call("KEYS", "users:*") == ["users:1"], "eu has it")
        seen, cursor = set(), "0"
        while True:
            cursor, keys = eu.call("SCAN", cursor, "MATCH", "accounts:*", "COUNT", 7)
            seen |= set(keys)
            if cursor == "0":
                break
        self.assertTrue(names <= seen)
        self.assertEqual(["accounts:list"], eu.call("SCAN", 0, "TYPE", "list", "COUNT", 4000)[1])
        self.assertEqual(len(eu.call("KEYS", "*")), eu.call("DBSIZE"))
        self.assertIsNotNone(eu.call("RANDOMKEY"))

    def test_a_write_may_ask_for_more(self):
        made = self.table()
        us, eu, apac = made
        for node in made:
            self.assertEqual("OK", node.call("WITH", "WRITE", "all", "SET", "accounts:w", node.id))
            self.assertEqual(node.id, us.call("GET", "accounts:w"))
        self.assertEqual(1, eu.call("WITH", "WRITE", "majority+regions:3", "IDEMPOTENT", "w-1", "INCR", "accounts:v"))
        self.assertEqual(1, us.call("WITH", "WRITE", "majority+regions:3", "IDEMPOTENT", "w-1", "INCR", "accounts:v"))
        self.assert_error("CONTRACT", us.ask("WITH", "WRITE", "majority", "SET", "accounts:w", "x"))
        self.assert_error("CONTRACT", us.ask("WITH", "WRITE", "leader", "SET", "accounts:w", "x"))
        us.call("FAULT", "CUT", "apac", "us-east")
        us.call("FAULT", "CUT", "apac", "eu")
        cluster.wait_until(works(us, "accounts:w"), "two regions go on")
        self.assert_error("UNKNOWN", us.ask("WITH", "WRITE", "all", "SET", "accounts:w", "two"))
        self.assertEqual("two", eu.call("GET", "accounts:w"))
        us.call("FAULT", "HEAL")
        cluster.wait_until(lambda: us.ask("WITH", "WRITE", "all", "SET", "accounts:w", "three") == "OK", "all again")

    def test_info_counts_groups(self):
        made = self.table()

        def counted(word):
            return sum(int(line.split(":")[1]) for node in made
                       for line in node.call("INFO").splitlines() if line.startswith(word + ":"))
        self.assertEqual(12, counted("groups"))
        cluster.wait_until(lambda: counted("groups_led") == 4 and counted("groups_leaderless") == 0, "a leader each")
        cluster.wait_until(lambda: counted("groups_asleep") == 12, "idle groups fall asleep")

    def test_transactions_in_one_group(self):
        made = self.table()
        self.assertEqual("OK", made["eu-1"].call("TABLE", "CREATE", "one", "ENGINE", "ordered", "PARTITIONS", 1))
        for node in made:
            cluster.wait_until(works(node, "one:a"), "a leader")
        for node in made:
            connection = node.connect()
            self.assertEqual("OK", connection.call("SET", "one:a", 10))
            replies = connection.pipeline(("MULTI",), ("DECRBY", "one:a", 3), ("SET", "one:b", 3), ("GET", "one:a"),
                                          ("EXEC",), ("GET", "one:b"))
            self.assertEqual(["OK", "QUEUED", "QUEUED", "QUEUED", [7, "OK", "7"], "3"], replies)
            self.assertEqual("OK", connection.call("WATCH", "one:a", "one:b"))
            self.assertEqual("OK", made["apac-1"].call("SET", "one:b", "other"))
            self.assertEqual("OK", connection.call("MULTI"))
            self.assertEqual("QUEUED", connection.call("SET", "one:a", "never"))
            self.assertIsNone(connection.call("EXEC"))
            self.assertEqual("7", connection.call("GET", "one:a"))
            self.assertEqual("OK", connection.call("WATCH", "one:a"))
            self.assertEqual("OK", connection.call("MULTI"))
            self.assertEqual("QUEUED", connection.call("INCR", "one:a"))
            self.assertEqual([8], connection.call("EXEC"))
            self.assertEqual("OK", connection.call("MULTI"))
            self.assert_error("ERR", connection.ask("NONSENSE"))
            self.assert_error("EXECABORT", connection.ask("EXEC"))
            self.assertEqual("OK", connection.call("MULTI"))
            self.assertEqual("QUEUED", connection.call("SINTERSTORE", *["accounts:m%d" % n for n in range(9)]))
            self.assert_error("CONTRACT", connection.ask("EXEC"))
            self.assert_error("ERR", connection.ask("EXEC"))
            connection.close()

    def test_nothing_acknowledged_is_lost_when_nodes_are_killed(self):
        made = self.table(links={("us-east", "eu"): (5, 0), ("us-east", "apac"): (5, 0), ("eu", "apac"): (5, 0)})
        nodes = list(made)
        for victim in nodes:
            writers = [Writer(node, "%s-%s-%d" % (victim.id, node.id, n))
                       for node in nodes if node is not victim for n in range(4)]
            for writer in writers:
                writer.start()
            time.sleep(0.5)
            before = sum(writer.acknowledged for writer in writers)
            victim.kill()
            time.sleep(4)
            self.assertGreater(sum(writer.acknowledged for writer in writers), before, "writes resume")
            for writer in writers:
                writer.stopping = True
            for writer in writers:
                writer.join()
            victim.start()
            made.wait_connected()
            for writer in writers:
                for node in nodes:
                    value = int(cluster.wait_until(lambda: node.ask("GET", writer.key), "a read") or 0)
                    self.assertGreaterEqual(value, writer.acknowledged, writer.errors)
                    self.assertLessEqual(value, writer.acknowledged + writer.unknown, writer.errors)

    def test_all_killed_at_once(self):
        made = self.table()
        us, eu, _ = made
        for number in range(100):
            self.assertEqual("OK", us.call("SET", "accounts:k%d" % number, number))
        for node in made:
            node.kill()
        made.start()
        for number in range(100):
            key = "accounts:k%d" % number
            self.assertEqual(str(number), cluster.wait_until(lambda: eu.ask("GET", key), "a leader"))

    def test_a_table_may_be_read_where_one_is(self):
        made = self.table()
        us, eu, apac = made
        self.assertEqual("OK", us.call("TABLE", "CREATE", "near", "ENGINE", "ordered", "READ", "local"))
        for node in made:
            cluster.wait_until(works(node, "near:a"), "a leader")
        cluster.wait_until(lambda: apac.call("GET", "near:a") == "x", "apac has applied it")
        us.call("FAULT", "CUT", "apac", "us-east")
        us.call("FAULT", "CUT", "apac", "eu")
        cluster.wait_until(lambda: isinstance(apac.ask("GET", "accounts:probe"), RespError), "apac is alone")
        self.assertEqual("x", apac.call("GET", "near:a"))
        us.call("FAULT", "HEAL")

    def test_the_default_table_may_be_ordered(self):
        made = self.cluster(start=False)
        with open(made.config, "a", encoding="utf-8") as file:
            file.write("default: {engine: ordered}\n")
        us, eu, _ = made.start()
        self.assertEqual(1, us.call("SETNX", "plain", "1"))
        self.assertEqual(0, eu.call("SETNX", "plain", "2"))
        self.assertEqual(2, eu.call("RPUSH", "list", "a", "b"))
        self.assertEqual(["a", "b"], us.call("LRANGE", "list", 0, -1))
        for node in made:
            node.restart(kill=True)
        self.assertEqual("1", cluster.wait_until(lambda: eu.ask("GET", "plain"), "a leader"))

    def test_a_cut_off_region_refuses_and_heals(self):
        made = self.table()
        us, eu, apac = made
        self.assertEqual("OK", us.call("SET", "accounts:c", "before"))
        us.call("FAULT", "CUT", "apac", "us-east")
        us.call("FAULT", "CUT", "apac", "eu")
        cluster.wait_until(works(us, "accounts:c"), "two regions go on")
        reply = apac.ask("SET", "accounts:c", "from-apac")
        self.assertIsInstance(reply, RespError)
        self.assertIn(reply.code, ("UNAVAILABLE", "UNKNOWN"))
        reply = cluster.wait_until(
            lambda: [r for r in [apac.ask("SET", "accounts:c", "again")] if isinstance(r, RespError) and
                     r.code == "UNAVAILABLE"], "it knows that it can't")[0]
        self.assertIn("nothing was done", str(reply))
        self.assertIn("us-east-1 (us-east)", str(reply))
        self.assertIsInstance(apac.ask("GET", "accounts:c"), RespError)
        self.assertEqual("OK", eu.call("SET", "accounts:c", "meanwhile"))
        us.call("FAULT", "HEAL")
        cluster.wait_until(lambda: apac.ask("GET", "accounts:c") == "meanwhile", "apac is back")
        cluster.wait_until(works(apac, "accounts:c"), "apac writes again")


if __name__ == "__main__":
    cluster.main()
