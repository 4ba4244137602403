#!/usr/bin/env python3
"""The public headers as their users meet them.

test_headers.py compile HEADER_DIR COMPILER STANDARD...   each header alone, under each standard, without a warning
test_headers.py document HEADER_DIR                       each declaration is documented
test_headers.py version HEADER_DIR VERSION                the macros say what the build says
test_headers.py self HEADER_DIR CC                        plants mistakes, each of which must be found
"""
import pathlib
import re
import subprocess
import sys
import tempfile

WARNINGS = ["-pedantic", "-Wall", "-Wextra", "-Werror"]


def compile_all(header_dir, compiler, standards):
    found = []
    for header in sorted(pathlib.Path(header_dir).rglob("*.h")):
        name = header.relative_to(header_dir)
        for standard in standards:
            language = "c++" if "++" in standard else "c"
            # Twice: a header that is included again must say nothing.
            source = f"#include <{name}>\n#include <{name}>\nint unused_translation_unit(void);\n"
            run = subprocess.run([compiler, "-x", language, f"-std={standard}", *WARNINGS, f"-I{header_dir}",
                                  "-fsyntax-only", "-"], input=source, text=True, capture_output=True)
            if run.returncode != 0:
                found.append(f"{name} as {standard} ({compiler}):\n{run.stderr}")
    return found


def blank(text):
    """The text with comments and literals as spaces, line by line as it was."""
    return re.sub(r"/\*.*?\*/|\"[^\"\n]*\"", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


def undocumented(text):
    """
    Each function has a comment directly above it. Each macro and each type has one above it, or in it, or stands right
    under another macro that has.
    """
    found = []
    lines, code = text.splitlines(), blank(text).splitlines()
    covered = False  # there is a comment directly above, without an empty line between
    number = 0
    while number < len(lines):
        line, bare, first = lines[number], code[number].strip(), number
        number += 1
        if not bare:
            covered = "*/" in line and not line.startswith("/* ----")
            continue
        macro = re.match(r"#\s*define (\w+)( |$)", bare)
        if macro and not re.fullmatch(r"WALRUS(_\w+)?_H", macro.group(1)):
            covered = covered or "/*" in line
            if not covered:
                found.append(f"line {number}: {macro.group(1)} has no comment")
            continue
        if bare.startswith("#") or bare.startswith("extern") or bare == "}":
            continue
        # A declaration, to its end.
        depth = 0
        while True:
            depth += code[number - 1].count("{") - code[number - 1].count("}")
            if depth == 0 and code[number - 1].rstrip().endswith(";"):
                break
            number += 1
        whole = "\n".join(lines[first:number])
        is_type = re.match(r"(struct|enum) \w+ {", bare)
        is_opaque = re.fullmatch(r"struct \w+;", bare)
        if not covered and not is_opaque and not (is_type and "/*" in whole):
            found.append(f"line {first + 1}: {bare} has no comment")
        covered = False
    return found


def document(header_dir):
    found = []
    for header in sorted(pathlib.Path(header_dir).rglob("*.h")):
        found += [f"{header.name}: {entry}" for entry in undocumented(header.read_text())]
    return found


def version(text, wanted):
    parts = [re.search(rf"define WALRUS_VERSION_{part} (\d+)\n", text) for part in ("MAJOR", "MINOR", "PATCH")]
    said = ".".join(part.group(1) if part else "?" for part in parts)
    return [] if said == wanted else [f"walrus.h says {said}, the build says {wanted}"]


def self_test(header_dir, compiler):
    found = []
    text = (pathlib.Path(header_dir) / "walrus/walrus.h").read_text()
    plants = {
        "a function": "int walrus_planted(void);\n",
        "a function after an empty line": "/* Something. */\n\nint walrus_planted(void);\n",
        "a function after another": "/* Something. */\nint walrus_commented(int a,\n    int b);\nint walrus_planted(void);\n",
        "a type": "struct planted {\n    int a;\n};\n",
        "a macro": "#define WALRUS_PLANTED 1\n",
    }
    for what, plant in plants.items():
        planted = text.replace("/* ---- limits", "\n" + plant + "\n/* ---- limits")
        if len(undocumented(planted)) != len(undocumented(text)) + 1:
            found.append(f"{what} without a comment was not noticed: {undocumented(planted)}")
    if not version(text, "9.9.9"):
        found.append("a wrong version was not noticed")
    with tempfile.TemporaryDirectory() as folder:
        for plant in ("enum planted { A, };", "static int planted(int x) { return 0; }", "uint64_t planted;"):
            (pathlib.Path(folder) / "planted.h").write_text(plant + "\n")
            if not compile_all(folder, compiler, ["c99"]) and not compile_all(folder, compiler, ["c++98"]):
                found.append(f"a bad header was not noticed: {plant}")
    return found


def main():
    what, header_dir, *rest = sys.argv[1:]
    if what == "compile":
        found = compile_all(header_dir, rest[0], rest[1:])
    elif what == "document":
        found = document(header_dir)
    elif what == "version":
        found = version((pathlib.Path(header_dir) / "walrus/walrus.h").read_text(), rest[0])
    else:
        found = self_test(header_dir, rest[0])
    print("\n".join(found) or "ok")
    return 1 if found else 0


sys.exit(main())
