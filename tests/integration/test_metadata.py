#!/usr/bin/python3
"""The metadata group on real processes: tables are created and dropped while a region is away, never by halves, and who
was away or killed learns of it."""
import cluster
from resp import RespError


def shows(node, name):
    return lambda: not isinstance(node.ask("TABLE", "SHOW", name), RespError)


class MetadataTest(cluster.TestCase):
    def test_a_region_that_is_away_does_not_stop_creating(self):
        made = self.cluster()
        us, eu, apac = made
        self.assertEqual("OK", us.call("TABLE", "CREATE", "first"))
        apac.kill()
        self.assertEqual("OK", eu.call("TABLE", "CREATE", "second", "CONFLICT", "siblings"))
        self.assertEqual("OK", us.call("SET", "second:1", "x"))
        self.assertEqual("OK", eu.call("TABLE", "DROP", "first"))
        self.assert_error("ERR", us.ask("TABLE", "CREATE", "second"))
        apac.start()
        cluster.wait_until(shows(apac, "second"), "the region that was away has the table")
        cluster.wait_until(lambda: not shows(apac, "first")(), "and knows of the drop")
        cluster.wait_until(lambda: apac.ask("GET", "second:1") == "x", "and the table's data")

    def test_without_a_majority_tables_go_on_and_none_is_made(self):
        made = self.cluster()
        us, eu, apac = made
        self.assertEqual("OK", us.call("TABLE", "CREATE", "users"))
        eu.kill()
        apac.kill()
        self.assertEqual("OK", us.call("SET", "users:1", "x"))
        error = us.ask("TABLE", "CREATE", "others")
        self.assert_error("UNAVAILABLE", error)
        self.assertIn("apac-1 (apac), eu-1 (eu)", str(error))
        eu.start()
        cluster.wait_until(lambda: us.ask("TABLE", "CREATE", "others") == "OK", "eu is back")
        cluster.wait_until(shows(eu, "others"), "eu has it")

    def test_tables_survive_the_kill_of_all(self):
        made = self.cluster()
        us, eu, apac = made
        for number in range(10):
            node = (us, eu, apac)[number % 3]
            self.assertEqual("OK", node.call("TABLE", "CREATE", "t%d" % number, "PARTITIONS", 1))
        for number in range(0, 10, 2):
            self.assertEqual("OK", eu.call("TABLE", "DROP", "t%d" % number))
        for node in made:
            node.kill()
        for node in made:
            node.start(wait=False)
        for node in made:
            node.wait_ready()
        for node in made:
            names = {cluster.as_map(table)["name"] for table in node.call("TABLE", "LIST")}
            self.assertEqual({"default"} | {"t%d" % number for number in range(1, 10, 2)}, names)
        cluster.wait_until(lambda: us.ask("TABLE", "CREATE", "t0") == "OK", "a dropped name is free")
        self.assert_error("ERR", apac.ask("TABLE", "CREATE", "t1"))


if __name__ == "__main__":
    cluster.main()
