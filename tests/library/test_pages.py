#!/usr/bin/env python3
"""The C of the pages is C: every block of C code in them is compiled, and README's is run as it stands.

test_pages.py CC HEADER_DIR LIBRARY README [PAGE]...

A block that has a main() or includes something is a file; any other is the inside of a function in which `log`, `topic`,
`cursor`, `options`, `error` and a few more are declared, as PREAMBLE says.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

INCLUDES = """
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <walrus/walrus.h>
#include <walrus/walrus_inspect.h>
"""

PREAMBLE = """
struct walrus_options options; struct walrus_error error; struct walrus_log *log = NULL;
struct walrus_topic *topic = NULL, *other = NULL; struct walrus_cursor *cursor = NULL; struct walrus_watch *watch = NULL;
struct walrus_entries entries = {0}; struct walrus_position position = {0}; struct walrus_read_limits limits = {0};
struct walrus_receipt receipt; struct walrus_topic_info info; const void *data = ""; size_t length = 0;
(void)options; (void)error; (void)log; (void)topic; (void)other; (void)cursor; (void)watch; (void)entries; (void)position;
(void)limits; (void)receipt; (void)info; (void)data; (void)length;
"""

WARNINGS = ["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-Wno-unused-variable", "-Wno-unused-function"]


def blocks(page):
    return re.findall(r"^```c\n(.*?)^```", page.read_text(), re.M | re.S)


def as_file(block):
    """README's block: what it includes, and then the inside of main()."""
    lines = block.splitlines()
    top = [line for line in lines if line.startswith("#include")]
    rest = [line for line in lines if not line.startswith("#include")]
    return "#include <stdio.h>\n" + "\n".join(top) + "\nint main(void)\n{\n" + "\n".join(rest) + "\nreturn 0;\n}\n"


def compile_text(compiler, header_dir, text, arguments):
    return subprocess.run([compiler, *WARNINGS, f"-I{header_dir}", "-x", "c", "-", *arguments], input=text, text=True,
                          capture_output=True)


def check_readme(compiler, header_dir, library, page, folder):
    found = blocks(page)
    if len(found) != 1:
        return [f"{page.name} has {len(found)} blocks of C, not one"]
    if re.search(rb"__[at]san_init", pathlib.Path(library).read_bytes()):
        # A sanitizer's library wants a program of its kind.
        run = compile_text(compiler, header_dir, as_file(found[0]), ["-fsyntax-only"])
        return [] if run.returncode == 0 else [f"{page.name}: {run.stderr}"]
    program = os.path.join(folder, "snippet")
    run = compile_text(compiler, header_dir, as_file(found[0]),
                       ["-o", program, "-x", "none", library, f"-Wl,-rpath,{os.path.dirname(library)}"])
    if run.returncode != 0:
        return [f"{page.name}: {run.stderr}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WALRUS_")}
    run = subprocess.run([program], cwd=folder, text=True, capture_output=True, env=environment)
    files = " ".join(sorted(path.name for path in pathlib.Path(folder, "data").glob("*")))
    if run.returncode != 0 or "catalog" not in files:
        return [f"{page.name}: the program ended with {run.returncode}, {run.stderr}, and left {files}"]
    return []


def check_page(compiler, header_dir, page):
    found = []
    for number, block in enumerate(blocks(page), 1):
        whole = "#include" in block or "main(" in block
        # In a block of code, a line of dots stands for what is the reader's.
        text = block if whole else INCLUDES + "int snippet(void);\nint snippet(void)\n{\n" + PREAMBLE + block + "\nreturn 0;\n}\n"
        run = compile_text(compiler, header_dir, text, ["-fsyntax-only"])
        if run.returncode != 0:
            found.append(f"{page.name}, block {number}:\n{block}\n{run.stderr}")
    return found if blocks(page) else [f"{page.name} has no C"]


def main():
    compiler, header_dir, library, readme, *pages = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        found = check_readme(compiler, header_dir, os.path.abspath(library), pathlib.Path(readme), folder)
    for page in pages:
        found += check_page(compiler, header_dir, pathlib.Path(page))
    print("\n".join(found) or "ok")
    return 1 if found else 0


sys.exit(main())
