"""meridian lab on real processes: each strategy of the incident ends as its ground truth says, judged by the stamps."""

import json
import os
import subprocess
import unittest

MERIDIAN = os.environ["MERIDIAN"]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def lab(*words, timeout=300):
    return subprocess.run([MERIDIAN, "lab", *words], cwd=ROOT, capture_output=True, text=True, timeout=timeout,
                          check=False)


class Lab(unittest.TestCase):
    def play_on_real_processes(self, name):
        run = lab("run", name, "--real", "--json")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        report = json.loads(run.stdout)
        self.assertEqual(report["world"], "real")
        for strategy in report["strategies"]:
            self.assertTrue(strategy["good"], strategy)
            self.assertTrue(strategy["converged"], strategy)
            self.assertGreater(strategy["bytes_between_regions"], 0, strategy)
        return report["strategies"]

    def test_split_profile(self):
        for strategy in self.play_on_real_processes("split-profile"):
            self.assertEqual(strategy["lost"], 0, strategy)

    def test_split_payment(self):
        for strategy in self.play_on_real_processes("split-payment"):
            self.assertEqual((1, 0), (strategy["approved"], strategy["lost"]), strategy)

    def test_double_spend(self):
        for strategy in self.play_on_real_processes("double-spend"):
            self.assertEqual((1, 0), (strategy["approved"], strategy["lost"]), strategy)

    def test_double_spend_with_five_replicas(self):
        self.play_on_real_processes("double-spend-five")

    def test_same_site_majority(self):
        played = {s["name"]: (s["lost"], s["hidden"]) for s in self.play_on_real_processes("same-site-majority")}
        self.assertEqual({"majority": (1, 0), "returns": (0, 1), "regions": (0, 0), "three": (0, 0)}, played)

    def test_lost_increment(self):
        self.play_on_real_processes("lost-increment")

    def test_json_and_table_in_the_simulator(self):
        run = lab("run", "split-profile", "--json")
        self.assertEqual(run.returncode, 0, run.stderr)
        names = {strategy["name"] for strategy in json.loads(run.stdout)["strategies"]}
        self.assertEqual(names, {"lww", "lww-skewed", "siblings", "fields", "set", "ordered"})
        table = lab("run", "split-profile")
        self.assertIn("6 of 6 strategies end as the ground truth says", table.stdout)
        self.assertNotIn("\033", table.stdout)
        self.assertTrue(all(len(line) <= 112 for line in table.stdout.splitlines()), table.stdout)

    def test_list_and_mistakes(self):
        self.assertIn("split-profile", lab("list").stdout)
        unknown = lab("run", "no-such-incident")
        self.assertEqual(unknown.returncode, 2)
        self.assertIn("no-such-incident.yaml", unknown.stderr)
        self.assertEqual(lab("run").returncode, 2)


if __name__ == "__main__":
    unittest.main()
