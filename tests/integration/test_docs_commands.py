#!/usr/bin/python3
"""Every transcript in docs/commands is what the server answers.

A page is replayed top to bottom over one connection, on a fresh cluster of one node and on one of three regions. In a
fence ```resp the lines that begin with "> " are sent and the lines under them are what redis-cli prints under RESP2;
```resp3 shows the same under RESP3. "…" stands for anything that differs from run to run.

`./test_docs_commands.py rewrite [page …]` replaces the answers by what a node of three regions says, for review;
those that fit with their "…" stay.
"""
import os
import re
import shlex
import sys

import cluster
from resp import Connection

DOCS = os.path.join(cluster.ROOT, "docs", "commands")
FENCE = re.compile(r"^```(resp3?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTION = re.compile(r"^## ([A-Z |]+)\n\n`([^\n]*)`\n\n([^\n]+)\n", re.MULTILINE)


class Printed(Connection):
    """Replies as redis-cli prints them on a terminal."""

    def _value(self):
        line = self._line()
        kind, rest = chr(line[0]), line[1:].decode("utf-8", "surrogateescape")
        if kind in "*~>%":
            return self._printed_items(kind, int(rest))
        if kind in "$=":
            return "(nil)" if rest == "-1" else quoted(self._text(int(rest)))
        return {"+": "%s", "-": "(error) %s", ":": "(integer) %s", "_": "(nil)%s", ",": "(double) %s",
                "#": "(%s)"}[kind] % {"#t": "true", "#f": "false"}.get(kind + rest, rest)

    def _printed_items(self, kind, count):
        if count < 0:
            return "(nil)"
        if count == 0:
            return {"*": "(empty array)", "~": "(empty set)", "%": "(empty hash)", ">": "(empty push)"}[kind]
        width = len(str(count))
        lines = []
        for number in range(1, count + 1):
            mark = "%*d%s " % (width, number, {"*": ")", "~": "~", "%": "#", ">": ")"}[kind])
            text = self._value()
            if kind == "%":
                text = "%s => %s" % (text, indented(self._value(), len(mark) + len(text) + 4, inside_map=True))
            lines.append(mark + indented(text, len(mark)))
        return "\n".join(lines)


def indented(text, width, inside_map=False):
    """The lines after the first stand under it; a list inside a map begins on a line of its own, as in redis-cli."""
    if inside_map and "\n" in text:
        return "\n" + "\n".join(" " * 4 + line for line in text.split("\n"))
    return text.replace("\n", "\n" + " " * width)


def quoted(text):
    out = []
    for byte in text.encode("utf-8", "surrogateescape"):
        char = chr(byte)
        named = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\a": "\\a", "\b": "\\b"}.get(char)
        out.append(named or (char if 32 <= byte < 127 else "\\x%02x" % byte))
    return '"%s"' % "".join(out)


def fits(expected, got):
    pattern = "".join(".*" if part == "…" else re.escape(part) for part in re.split("(…)", expected))
    return re.fullmatch(pattern, got, re.DOTALL) is not None


def exchanges(body):
    """The (command, answer) pairs of one fence."""
    pairs = []
    for line in body.splitlines():
        if line.startswith("> "):
            pairs.append((line[2:], []))
        elif line.strip() or pairs and pairs[-1][1]:
            pairs[-1][1].append(line)
    return [(command, "\n".join(lines).rstrip()) for command, lines in pairs]


def pages(names=()):
    for file in sorted(os.listdir(DOCS)):
        if file.endswith(".md") and file != "README.md" and (not names or file[:-3] in names):
            yield os.path.join(DOCS, file)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class Replay:
    """One page against one node; `answer` is what the node says to each command in turn."""

    def __init__(self, port):
        self.connections = {name: Printed(port, timeout=30) for name in ("resp", "resp3")}
        self.connections["resp3"].ask("HELLO", 3)

    def answer(self, fence, command):
        return self.connections[fence].ask(*shlex.split(command))

    def close(self):
        for connection in self.connections.values():
            connection.close()


class DocsTest(cluster.TestCase):
    def replay(self, path, node):
        replay = Replay(node.resp)
        self.addCleanup(replay.close)
        for fence, body in FENCE.findall(read(path)):
            for command, expected in exchanges(body):
                got = replay.answer(fence, command)
                self.assertTrue(fits(expected, got), "%s: > %s\nexpected:\n%s\ngot:\n%s" % (
                    os.path.basename(path), command, expected, got))

    def test_on_one_node(self):
        for path in pages():
            if needs_regions(path):
                continue
            with self.subTest(os.path.basename(path)):
                self.replay(path, self.cluster(regions=("us-east",))["us-east-1"])

    def test_on_three_regions(self):
        for path in pages():
            with self.subTest(os.path.basename(path)):
                self.replay(path, self.cluster()["us-east-1"])

    def test_every_command_has_its_section(self):
        """Syntax and sentence are those of the command table, as COMMAND DOCS gives it."""
        node = self.cluster(regions=("us-east",))["us-east-1"]
        documented = {}
        for path in pages():
            for name, syntax, sentence in SECTION.findall(read(path)):
                self.assertNotIn(name, documented)
                documented[name] = (os.path.basename(path)[:-3], syntax, sentence)
        table = table_of_commands(node)
        self.assertEqual(sorted(table), sorted(documented))
        for name, facts in table.items():
            self.assertEqual(facts, documented[name], name)


def needs_regions(path):
    """A page says so in its first lines when it speaks of several regions."""
    return "three regions" in read(path).split("\n## ", 1)[0]


def table_of_commands(node):
    """name -> (page, syntax, sentence) from COMMAND DOCS."""
    table = {}

    def add(name, facts):
        facts = cluster.as_map(facts)
        subcommands = cluster.as_map(facts.get("subcommands", {}))
        for sub, sub_facts in subcommands.items():
            add(sub, sub_facts)
        if not subcommands:
            shown = name.replace("|", " ").upper()
            syntax = (shown + " " + facts.get("syntax", "")).strip()
            table[shown] = (facts["group"], syntax, facts["summary"])
    for name, facts in cluster.as_map(node.call("COMMAND", "DOCS")).items():
        add(name, facts)
    return table


def rewrite(names):
    for path in pages(names):
        with cluster.Cluster() as made:
            replay = Replay(made.start()["us-east-1"].resp)

            def rewritten(match):
                lines = []
                for command, expected in exchanges(match.group(2)):
                    got = replay.answer(match.group(1), command)
                    lines += ["> " + command, expected if expected and fits(expected, got) else got]
                return "```%s\n%s\n```" % (match.group(1), "\n".join(lines))
            text = FENCE.sub(rewritten, read(path))
            replay.close()
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["rewrite"]:
        rewrite(sys.argv[2:])
    else:
        cluster.main()
