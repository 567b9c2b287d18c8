#!/usr/bin/python3
"""tools/tidy catches what it says it catches: one planted violation a test, in a small tree of its own."""
import importlib.machinery
import importlib.util
import os
import shutil
import tempfile
import textwrap
import unittest

TIDY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "tidy")


def load_tidy():
    loader = importlib.machinery.SourceFileLoader("tidy", TIDY)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("tidy", loader))
    loader.exec_module(module)
    return module


tidy = load_tidy()

HEADER = """\
    /* {name}.h: a thing. */
    #ifndef MERIDIAN_{room}_{guard}_H
    #define MERIDIAN_{room}_{guard}_H

    /* Do it. */
    int {name}_do(int x);

    #endif
    """
SOURCE = """\
    /* {name}.c: a thing. */
    #include "{folder}/{name}.h"

    int {name}_do(int x)
    {{
        return x;
    }}
    """


class TidyTest(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="meridian-tidy-")
        self.addCleanup(shutil.rmtree, self.root)
        for room, name in (("base", "thing"), ("wire", "frame"), ("node", "shard"), ("runtime", "loop")):
            words = {"name": name, "folder": room, "room": room.upper(), "guard": name.upper()}
            self.write(f"src/{room}/{name}.h", HEADER.format(**words))
            self.write(f"src/{room}/{name}.c", SOURCE.format(**words))
            self.write(f"src/{room}/CMakeLists.txt", f"room({room})\n")

    def write(self, path, text):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(text))

    def append(self, path, text):
        with open(os.path.join(self.root, path), "a", encoding="utf-8") as file:
            file.write(text)

    def problems(self):
        tree = tidy.Tree(self.root)
        return [problem for _, check in tidy.CHECKS for problem in check(tree)]

    def assert_only(self, path, words):
        """Exactly one problem, in that file, and it says these words."""
        problems = self.problems()
        self.assertEqual([path], [problem.path for problem in problems], problems)
        self.assertIn(words, problems[0].text)
        return problems[0]

    def test_a_clean_tree_has_no_problem(self):
        self.assertEqual([], self.problems())

    def test_a_lower_room_knows_no_higher_one(self):
        self.append("src/wire/frame.c", '#include "node/shard.h"\n')
        problem = self.assert_only("src/wire/frame.c", "wire may not know node")
        self.assertEqual(8, problem.line)

    def test_an_allowed_include_is_no_problem(self):
        self.append("src/node/shard.c", '#include "wire/frame.h"\n')
        self.assertEqual([], self.problems())

    def test_an_include_in_a_comment_is_no_problem(self):
        self.append("src/wire/frame.c", '/*\n#include "node/shard.h"\n*/\n')
        self.assertEqual([], self.problems())

    def test_includes_are_rooted(self):
        self.append("src/node/shard.c", '#include "shard.h"\n')
        self.assert_only("src/node/shard.c", "not a header below src/")

    def test_an_unknown_room(self):
        self.write("src/attic/old.c", "/* old.c: what is left. */\n")
        self.write("src/attic/CMakeLists.txt", "room(attic)\n")
        self.assert_only("src/attic/old.c", "attic is not in the table")

    def test_the_build_declares_only_what_is_allowed(self):
        self.write("src/wire/CMakeLists.txt", "room(wire DEPENDS base node LIBS lz4)\n")
        self.assert_only("src/wire/CMakeLists.txt", "wire may not depend on node")

    def test_internal_headers_stay_inside(self):
        words = {"name": "thing_internal", "folder": "base", "room": "BASE", "guard": "THING_INTERNAL"}
        self.write("src/base/thing_internal.h", HEADER.format(**words))
        self.append("src/base/thing.c", '#include "base/thing_internal.h"\n')
        self.write("tests/unit/base/test_thing.c", '/* White box. */\n#include "base/thing_internal.h"\n')
        self.assertEqual([], self.problems())
        self.append("src/node/shard.c", '#include "base/thing_internal.h"\n')
        self.assert_only("src/node/shard.c", "internal to another room")

    def test_outside_libraries_have_one_home(self):
        self.append("src/runtime/loop.c", "#include <uv.h>\n")
        self.assertEqual([], self.problems())
        self.append("src/node/shard.c", "#include <uv.h>\n")
        self.assert_only("src/node/shard.c", "<uv.h> belongs to src/runtime/ alone")

    def test_cores_see_no_sockets(self):
        self.append("src/node/shard.c", "#include <sys/socket.h>\n")
        self.assert_only("src/node/shard.c", "no socket")

    def test_forbidden_functions(self):
        for name in "strcpy strcat sprintf vsprintf gets strtok rand atoi atol assert alloca".split():
            with self.subTest(name):
                self.write("src/runtime/extra.c", f"/* extra.c: x. */\nint x = {name}(1);\n")
                self.assert_only("src/runtime/extra.c", f"{name}() is forbidden")

    def test_words_that_only_look_forbidden(self):
        self.append("src/node/shard.c", '/* assert(x) */\n#define A static_assert(1)\n'
                    'int y = snprintf("strcpy(x)") + w->time(w) + my_rand(2) + p.free(q);\n')
        self.assertEqual([], self.problems())

    def test_time_is_an_input_of_the_cores(self):
        self.append("src/runtime/loop.c", "int t = clock_gettime(1, 0);\n")
        self.assertEqual([], self.problems())
        self.append("src/node/shard.c", "int t = clock_gettime(1, 0);\n")
        self.assert_only("src/node/shard.c", "inputs")

    def test_the_heap_has_one_door(self):
        self.append("src/node/shard.c", "void *p = malloc (4);\n")
        self.assert_only("src/node/shard.c", "base/memory.h")

    def test_a_long_function(self):
        body = "    x++;\n" * 99
        self.append("src/node/shard.c", f"\nstatic int long_one(int a,\n    int x)\n{{\n{body}}}\n")
        self.assert_only("src/node/shard.c", "long_one() has 101 lines")

    def test_a_long_flat_switch_is_allowed(self):
        body = "    x++;\n" * 150
        self.append("src/node/shard.c", f"\n/* flat: one line a case */\nstatic int f(int x)\n{{\n{body}}}\n")
        self.assertEqual([], self.problems())

    def test_a_long_file(self):
        self.append("src/node/shard.c", "int x;\n" * 900)
        self.assert_only("src/node/shard.c", "this is two files")

    def test_a_header_that_nobody_includes(self):
        words = {"name": "lonely", "folder": "base", "room": "BASE", "guard": "LONELY"}
        self.write("src/base/lonely.h", HEADER.format(**words))
        self.assert_only("src/base/lonely.h", "nobody includes")

    def test_a_room_that_nothing_builds(self):
        os.remove(os.path.join(self.root, "src/wire/CMakeLists.txt"))
        self.assert_only("src/wire/frame.c", "nothing builds")

    def test_text(self):
        for line, words in (("int x; /* " + "x" * 120 + " */", "columns"), ("int x; ", "trailing space"),
                            ("\tint x;", "a tab"), ("/* TO" + "DO: later */", "TO" + "DO"),
                            ('char *p = "/ho' + 'me/me/x";', "path of one machine")):
            with self.subTest(words):
                self.write("src/runtime/extra.c", f"/* extra.c: x. */\n{line}\n")
                self.assert_only("src/runtime/extra.c", words)
        self.write("src/runtime/extra.c", "/* extra.c: x. */\nint x;")
        self.assert_only("src/runtime/extra.c", "no newline")

    def test_openings(self):
        self.write("src/runtime/extra.c", "int x;\n")
        self.assert_only("src/runtime/extra.c", "no file comment")
        self.write("src/runtime/extra.c", "/* loop.c: copied. */\nint x;\n")
        self.assert_only("src/runtime/extra.c", "extra.c")
        os.remove(os.path.join(self.root, "src/runtime/extra.c"))
        self.write("src/base/thing.h", "/* thing.h: x. */\n#ifndef THING_H\n#define THING_H\n#endif\n")
        self.assert_only("src/base/thing.h", "MERIDIAN_BASE_THING_H")

    def undocumented(self, declarations):
        header = textwrap.dedent(HEADER).format(name="thing", room="BASE", guard="THING")
        self.write("src/base/thing.h", header.replace("#endif", declarations + "\n\n#endif"))
        return [problem.text for problem in tidy.check_docstrings(tidy.Tree(self.root))]

    def test_docstrings(self):
        found = self.undocumented("int a(void); /* said */\nint b(void);\nint thing_free(void);")
        self.assertEqual(["b() is public and has no comment"], found)

    def test_docstrings_stand_above_one_or_open_a_group(self):
        self.assertEqual([], self.undocumented("/* Both. */\nint a(void);\nint b(void);"))
        found = self.undocumented("int a(void); /* said */\n/* The next. */\nint b(void);\nint c(void);")
        self.assertEqual(["c() is public and has no comment"], found)

    def test_docstrings_of_prototypes_over_several_lines(self):
        found = self.undocumented("int a(int x,\n      int y);\nint b(int x,\n      int y); /* said */")
        self.assertEqual(["a() is public and has no comment"], found)

    def test_functions_are_measured_from_brace_to_brace(self):
        functions = tidy.Tree(self.root).functions()
        self.assertEqual({("thing_do", 3), ("frame_do", 3), ("shard_do", 3), ("loop_do", 3)},
                         {(function.name, function.length) for function in functions})


if __name__ == "__main__":
    unittest.main()
