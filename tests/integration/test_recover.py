#!/usr/bin/python3
"""The incident same-site-majority on real processes: two replicas in us, one in eu. eu is cut off, us acknowledges, us
loses power. eu does not promote itself; RECOVER says what may be missing; with the operator's word eu goes on, and what
us alone had acknowledged is not lost in silence when it comes back: it is fenced, and its writes are in the ledger."""
import time

import cluster
from cluster import as_map

KEYS = ["accounts:k%d" % number for number in range(8)]


def report_of(reply):
    report = as_map(reply)
    report["groups"] = [as_map(group) for group in report["groups"]]
    return report


class RecoverTest(cluster.TestCase):
    def us_and_eu(self, durability):
        made = self.cluster(regions=("us", "eu"), nodes_per_region={"us": 2})
        us = made["us-1"]
        self.assertEqual("OK", us.call("TABLE", "CREATE", "accounts", "ENGINE", "ordered", "DURABILITY", durability,
                                       "REPLICAS", "us=2,eu=1", "PARTITIONS", 2))
        for node in made:
            for key in KEYS:
                cluster.wait_until(lambda n=node, k=key: n.ask("SET", k, "before") == "OK", "%s serves" % node.id)
        return made

    def lose_us_after(self, made, writes):
        """Cut eu off, write through us, let us die, heal. Returns what us acknowledged after the cut."""
        us, eu = made["us-1"], made["eu-1"]
        self.assertEqual("OK", us.call("FAULT", "CUT", "us", "eu"))
        acknowledged = []
        for key in KEYS:
            deadline = time.monotonic() + 8
            while writes and key not in acknowledged and time.monotonic() < deadline:
                if us.ask("SET", key, "after") == "OK":
                    acknowledged.append(key)
        made["us-1"].kill()
        made["us-2"].kill()
        self.assertEqual("OK", eu.call("FAULT", "HEAL"))
        cluster.wait_until(lambda: as_map(eu.call("TOPOLOGY", "NODES")[0])["state"] == "away", "us is away")
        return acknowledged

    def test_majority_and_what_may_be_missing(self):
        made = self.us_and_eu("majority")
        eu = made["eu-1"]
        acknowledged = self.lose_us_after(made, True)
        self.assertEqual(KEYS, acknowledged)
        self.assert_error("UNAVAILABLE", eu.ask("SET", KEYS[0], "x"))  # it does not promote itself
        self.assert_error("ERR", eu.ask("TOPOLOGY", "RECOVER", "LOST", "eu-1"))
        self.assert_error("UNAVAILABLE", eu.ask("TOPOLOGY", "RECOVER", "LOST", "us-1"))  # us-2 did not answer
        report = report_of(eu.call("TOPOLOGY", "RECOVER", "LOST", "us-1", "us-2"))
        self.assertEqual(["accounts", "accounts", "metadata"], sorted(group["table"] for group in report["groups"]))
        for group in report["groups"]:
            self.assertEqual("eu-1", group["start"])
            self.assertIn("us-1, us-2 alone" if group["gone"] == "us-1, us-2" else "alone", group["may-be-missing"])
        self.assert_error("UNAVAILABLE", eu.ask("SET", KEYS[0], "x"))  # a report changes nothing
        report = report_of(eu.call("TOPOLOGY", "RECOVER", "LOST", "us-1", "us-2", "CONFIRM"))
        self.assertEqual("recovered", report["state"])
        self.assertEqual({"recovered"}, {group["state"] for group in report["groups"]})
        self.assertEqual("degraded", as_map(eu.call("TABLE", "SHOW", "accounts"))["state"])
        for key in KEYS:
            cluster.wait_until(lambda k=key: eu.call("GET", k) == "before", "eu serves what it has")
        for key in KEYS:
            self.assertEqual("OK", eu.call("SET", key, "eu alone"))
        self.assertEqual("OK", eu.call("TABLE", "CREATE", "alone"))  # the metadata group goes on as well
        self.us_returns(made)
        self.us_is_a_majority_again(made)
        self.what_us_had_is_in_the_ledger(made)

    def us_is_a_majority_again(self, made):
        """Blank, they are taken in again, and the contract's set is restored: without eu there is a majority."""
        us, eu = made["us-1"], made["eu-1"]
        cluster.wait_until(lambda: as_map(eu.call("TABLE", "SHOW", "accounts"))["state"] == "live",
                           "the contract's own replicas are back")
        eu.kill()
        for key in KEYS:
            cluster.wait_until(lambda k=key: us.ask("SET", k, "again") == "OK", "us is a majority again", seconds=40)
        eu.start()

    def what_us_had_is_in_the_ledger(self, made):
        eu = made["eu-1"]

        def ledgered():
            rows = [as_map(row) for row in eu.call("CONFLICTS", "LIST", "accounts")]
            return {row["key"]: row for row in rows if row["value"] == "after"}

        cluster.wait_until(lambda: sorted(ledgered()) == KEYS, "every write of us alone is in the ledger")
        for row in ledgered().values():
            self.assertEqual(("SET", "us"), (row["kind"].upper(), row["region"]))
            self.assertTrue(row["reason"].startswith("fenced"))
            self.assertEqual(row, as_map(eu.call("CONFLICTS", "SHOW", row["id"])))
            self.assertEqual(row, as_map(made["us-1"].call("CONFLICTS", "SHOW", row["id"])))
            self.assert_error("CONTRACT", eu.ask("CONFLICTS", "RESTORE", row["id"]))
        self.assertGreaterEqual(eu.call("CONFLICTS", "COUNT", "accounts"), len(KEYS))
        eu.restart(kill=True)  # the ledger is as durable as the values are
        cluster.wait_until(lambda: sorted(ledgered()) == KEYS, "the ledger is there after a crash")

    def us_returns(self, made):
        eu = made["eu-1"]
        made["us-1"].start()
        made["us-2"].start()
        # The two are a majority of the old configuration: fenced at first contact, they can't elect a leader.
        for node in (made["us-1"], made["us-2"]):
            for key in KEYS:
                cluster.wait_until(lambda n=node, k=key: n.call("GET", k) == "eu alone", "us asks eu")
        self.assertEqual("OK", made["us-2"].call("SET", KEYS[1], "through eu"))
        self.assertEqual("through eu", eu.call("GET", KEYS[1]))

    def test_two_regions_lose_nothing(self):
        made = self.us_and_eu("majority+regions:2")
        eu = made["eu-1"]
        self.assertEqual([], self.lose_us_after(made, False))
        report = report_of(eu.call("TOPOLOGY", "RECOVER", "LOST", "us-1", "us-2", "CONFIRM"))
        for group in report["groups"]:
            if group["table"] != "metadata":  # which has a plain majority
                self.assertEqual("nothing", group["may-be-missing"])
                self.assertIn("majority", group["rule"])
        for key in KEYS:
            cluster.wait_until(lambda k=key: eu.call("GET", k) == "before", "nothing is missing")


if __name__ == "__main__":
    cluster.main()
