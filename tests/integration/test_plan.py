#!/usr/bin/python3
"""meridian plan: the layouts of two incidents are seen through beforehand; wrong files are named, line and reason."""
import json
import os
import subprocess
import tempfile
import unittest

import cluster

PLANS = os.path.join(cluster.ROOT, "docs", "plan")


def plan(*words, **environment):
    return subprocess.run([cluster.MERIDIAN, "plan", *words], capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, **environment})


def verdicts(*words):
    done = plan(*words, "--json")
    assert done.returncode == 0, done.stderr
    return {item.get("table") or item.get("group"): item for item in json.loads(done.stdout)}


def losses(verdict):
    return {loss["loss"]: (loss["writes"], loss["reads"], loss["may_be_lost"]) for loss in verdict["losses"]}


def texts(verdict):
    return " / ".join(finding["text"] for finding in verdict["findings"])


class PlanTest(unittest.TestCase):
    def test_same_site_majority_is_found_before_it_happens(self):
        tables = verdicts(os.path.join(PLANS, "same-site.yaml"))
        self.assertEqual({"orders", "payments", "clicks", "metadata group"}, set(tables))
        self.assertIn("a majority of this group sits in us: losing us loses availability, and under `majority` also "
                      "acknowledged writes", texts(tables["orders"]))
        self.assertEqual(("stall", "stall", "acknowledged"), losses(tables["orders"])["region us"])
        self.assertEqual(("stall", "stall", "none"), losses(tables["payments"])["region us"])
        self.assertEqual(("stall", "depend", "none"), losses(tables["payments"])["region eu"])
        self.assertEqual(("pause", "pause", "rolled-back"), losses(tables["clicks"])["any node of us"])
        self.assertIn("a majority of this group sits in us", texts(tables["metadata group"]))

    def test_three_and_two_replicas(self):
        tables = verdicts(os.path.join(PLANS, "double-spend.yaml"))
        self.assertIn("with one node of us lost, commits take 150 ms instead of 0", texts(tables["plain"]))
        self.assertEqual(0, tables["plain"]["leaders"][0]["commit_ms"])
        self.assertEqual(150, tables["accounts"]["leaders"][0]["commit_ms"])
        self.assertEqual(300, tables["accounts"]["leaders"][0]["client_ms"]["eu"])
        self.assertEqual("acknowledged", losses(tables["plain"])["region us"][2])
        self.assertEqual("none", losses(tables["accounts"])["region us"][2])
        self.assertEqual({"go on", "pause"}, {writes for writes, _, _ in losses(tables["vault"]).values()})
        self.assertEqual({"go on"}, {writes for writes, _, _ in losses(tables["carts"]).values()})

    def test_the_page_fits_its_width_and_has_no_colour_in_a_pipe(self):
        for name in sorted(os.listdir(PLANS)):
            done = plan(os.path.join(PLANS, name))
            self.assertEqual((0, ""), (done.returncode, done.stderr), name)
            self.assertNotIn("\033", done.stdout)
            for line in done.stdout.splitlines():
                self.assertLessEqual(len(line), 110, line)
                self.assertEqual(line.rstrip(), line)

    def test_one_table(self):
        done = plan(os.path.join(PLANS, "same-site.yaml"), "--table", "payments")
        self.assertTrue(done.stdout.startswith("payments"), done.stdout)
        self.assertNotIn("orders", done.stdout)
        done = plan(os.path.join(PLANS, "same-site.yaml"), "--table", "none")
        self.assertEqual(2, done.returncode)
        self.assertIn("same-site.yaml: no table 'none' in it", done.stderr)


NODES = """version: 1
nodes:
  - {id: us-1, region: us, tags: {rack: r1}}
  - {id: us-2, region: us, tags: {rack: r1}}
  - {id: eu-1, region: eu}
"""


class WrongFileTest(unittest.TestCase):
    def fails(self, text, expected):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "plan.yaml")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            for more in ([], ["--json"]):
                done = plan(path, *more)
                self.assertEqual((2, ""), (done.returncode, done.stdout), text)
                self.assertEqual("meridian plan: %s:%s\n" % (path, expected), done.stderr)

    def test_what_is_wrong_is_named_with_its_line(self):
        unmet = ("7: DURABILITY majority+regions:3 needs replicas of 3 different regions, and these replicas have 2: "
                 "no write could be acknowledged, ever; place REPLICAS in more of them, or ask for less")
        for tail, expected in (
                ("tables:\n  a: {engine: ordered, durability: majority+regions:3}\n", unmet),
                ("tables:\n  a: {engine: ordered, durability: some}\n",
                 "7: DURABILITY 'some' is unknown: say leader, majority, majority+regions:K, majority+zones:K, "
                 "tags:NAME or all"),
                ("tables:\n  a: {colour: red}\n", "7: unknown option 'colour'"),
                ("tables:\n  a b: {engine: ordered}\n", "7: 'a b' is no name of a table"),
                ("tables: [a]\n", "6: tables is a mapping from name to contract"),
                ("rules: {x: {shelf: 2}}\n", "6: no node has a tag 'shelf'"),
                ("rules: {x: {rack: 0}}\n", "6: 'rack': '0' is not a whole number from 1 to 32"),
                ("rules: {x: {rack: 2}}\ntables: {a: {engine: ordered, durability: 'tags:x'}}\n",
                 "7: DURABILITY tags:x needs replicas of 2 different racks, and these replicas have 1: no write could "
                 "be acknowledged, ever; place REPLICAS in more of them, or ask for less"),
                ("default: {engine: ordered, conflict: lww}\n",
                 "6: CONFLICT is for mergeable tables: on an ordered table writes have one order, and none conflict"),
                ("tables: {a: {type: counter, invariant: 'min:0'}}\n",
                 "6: INVARIANT can't be kept by a mergeable table: two regions may each spend the last unit before "
                 "they hear of each other; say ENGINE ordered")):
            self.fails(NODES + tail, expected)

    def test_a_file_that_is_not_there(self):
        done = plan("/nowhere.yaml")
        self.assertEqual(2, done.returncode)
        self.assertIn("/nowhere.yaml", done.stderr)


if __name__ == "__main__":
    cluster.main()
