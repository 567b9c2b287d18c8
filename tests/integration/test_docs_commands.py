#!/usr/bin/python3
"""Every transcript in docs/commands is what the server answers.

A page is replayed top to bottom on a fresh cluster of three regions; those that don't speak of regions also on a single
node. In a fence ```resp stands what redis-cli prints under RESP2, in ```resp3 the same under RESP3:

    > GET a          sent to us-east; the lines under it are the answer
    eu> GET a        sent to eu
    eu<              what arrives there by itself
    <context>        the text that an earlier answer gave under that name; <hold>: the last HOLD's
    …                anything: it differs from run to run

Reads of what other regions wrote are repeated until the answer fits, for some seconds.

`./test_docs_commands.py rewrite [page …]` replaces the answers by what the server says, for review; those that fit with
their "…" stay.
"""
import os
import re
import shlex
import sys
import time

import cluster
from resp import Connection

DOCS = os.path.join(cluster.ROOT, "docs", "commands")
FENCE = re.compile(r"^```(resp3?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"^([a-z][a-z-]*)?([<>])(?: (.*))?$")
LISTED = re.compile(r" *\d+[)~#] ")
AWAITED = ("GET", "HGETALL", "SMEMBERS", "SIBLINGS", "CONFLICTS", "TOPOLOGY")
AWAIT_SECONDS = 10
SECTION = re.compile(r"^## ([A-Z -]+)\n\n`([^\n]*)`\n\n([^\n]+)\n", re.MULTILINE)


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
                value = self._value()
                text = "%s => %s" % (text, "\n" + value if LISTED.match(value) else value)
            lines.append(mark + indented(text, len(mark)))
        return "\n".join(lines)


def indented(text, width):
    """The lines after the first stand under it."""
    return text.replace("\n", "\n" + " " * width)


def quoted(text):
    out = []
    for byte in text.encode("utf-8", "surrogateescape"):
        char = chr(byte)
        named = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\a": "\\a", "\b": "\\b"}.get(char)
        out.append(named or (char if 32 <= byte < 127 else "\\x%02x" % byte))
    return '"%s"' % "".join(out)


def fits(expected, got):
    """Blanks at the ends of lines, which redis-cli leaves, don't count."""
    got = re.sub(" +$", "", got, flags=re.MULTILINE)
    pattern = "".join(".*" if part == "…" else re.escape(part) for part in re.split("(…)", expected))
    return re.fullmatch(pattern, got, re.DOTALL) is not None


class Exchange:
    """One prompt of a fence and the answer under it."""

    def __init__(self, fence, line):
        self.fence, self.line, self.lines = fence, line, []
        region, self.direction, self.command = PROMPT.match(line).groups("")
        self.region = region or "us-east"

    @property
    def answer(self):
        return "\n".join(self.lines).rstrip()


def answers(exchange, got):
    """The answer fits; a second may have passed for one that counts down."""
    if fits(exchange.answer, got):
        return True
    seconds = [re.fullmatch(r"\(integer\) (\d+)", text) for text in (exchange.answer, got)]
    return exchange.command.startswith("TTL") and all(seconds) and int(seconds[0][1]) - int(seconds[1][1]) == 1


def exchanges(fence, body):
    made = []
    for line in body.splitlines():
        if PROMPT.match(line):
            made.append(Exchange(fence, line))
        else:
            made[-1].lines.append(line)
    return made


def pages(names=()):
    for file in sorted(os.listdir(DOCS)):
        if file.endswith(".md") and file != "README.md" and (not names or file[:-3] in names):
            yield os.path.join(DOCS, file)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class Replay:
    """One page against one cluster."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.connections = {}
        self.named = {}

    def connection(self, exchange):
        key = exchange.fence, exchange.region
        if key not in self.connections:
            self.connections[key] = Printed(self.nodes[exchange.region + "-1"].resp, timeout=30)
            if exchange.fence == "resp3":
                self.connections[key].ask("HELLO", 3)
        return self.connections[key]

    def ask(self, exchange):
        connection = self.connection(exchange)
        if exchange.direction == "<":
            return connection.read()
        command = exchange.command
        for name, text in self.named.items():
            command = command.replace("<%s>" % name, text)
        words = shlex.split(command)
        answer = connection.ask(*words)
        for name in ("context", "id"):
            found = re.search(r'"%s"\n *\d+\) "([^"]*)"' % name, answer)
            if found:
                self.named[name] = found.group(1)
        if words[0] == "HOLD" and answer.startswith('"'):
            self.named["hold"] = answer.strip('"')
        if words[0] == "QUIT":
            self.connections.pop((exchange.fence, exchange.region)).close()
        return answer

    def ask_until_it_fits(self, exchange):
        deadline = time.monotonic() + AWAIT_SECONDS
        while True:
            got = self.ask(exchange)
            awaited = exchange.command.startswith(AWAITED) and exchange.answer
            if answers(exchange, got) or not awaited or time.monotonic() > deadline:
                return got
            time.sleep(0.05)

    def close(self):
        for connection in self.connections.values():
            connection.close()


class DocsTest(cluster.TestCase):
    def replay(self, path, nodes):
        replay = Replay(nodes)
        self.addCleanup(replay.close)
        for fence, body in FENCE.findall(read(path)):
            for exchange in exchanges(fence, body):
                got = replay.ask_until_it_fits(exchange)
                self.assertTrue(answers(exchange, got), "%s: %s\nexpected:\n%s\ngot:\n%s" % (
                    os.path.basename(path), exchange.line, exchange.answer, got))

    def test_on_one_node(self):
        for path in pages():
            if needs_regions(path):
                continue
            with self.subTest(os.path.basename(path)):
                self.replay(path, self.cluster(regions=("us-east",)))

    def test_on_three_regions(self):
        for path in pages():
            with self.subTest(os.path.basename(path)):
                self.replay(path, self.cluster())

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
    """A page says in its first lines that it speaks of several regions."""
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
            replay = Replay(made.start())

            def rewritten(match):
                lines = []
                for exchange in exchanges(match.group(1), match.group(2)):
                    got = replay.ask_until_it_fits(exchange)
                    keep = exchange.answer and fits(exchange.answer, got)
                    lines += [exchange.line, exchange.answer if keep else re.sub(" +$", "", got, flags=re.MULTILINE)]
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
