#!/usr/bin/env python3
"""Compares what the libraries show with what the public headers declare: the same functions, nothing more, nothing less.
And the library has no variables: what a log knows is the log's, so that several live side by side.

test_symbols.py NM OBJDUMP HEADER_DIR SHARED STATIC MAP           checks
test_symbols.py NM OBJDUMP HEADER_DIR SHARED STATIC MAP --self    plants differences, each of which must be found
"""
import pathlib
import re
import subprocess
import sys

# Variables that there must be, and why.
VARIABLES = {name: "a thread's own: what it copies from or to a mapped file (io_sigbus.c)" for name in ("guarding", "unblocked")}
VARIABLES |= {"sigbus": "the handler of a signal is the process's (io_sigbus.c); one log or many share it"}


def without_comments(text):
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"//[^\n]*", " ", text)
    text = re.sub(r"^\s*#(?:[^\n\\]|\\.)*", " ", text, flags=re.M | re.S)
    return text.replace('extern "C"', " ")


def declared_functions(text):
    """Names of the functions that the text of a header declares."""
    text = without_comments(text)
    depth, flat = 0, []
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        flat.append(" " if character in "{}" else character)
    names = set()
    for statement in "".join(flat).split(";"):
        # The first name before a parenthesis; a member that is a function pointer has "(*" there.
        found = re.match(r"\s*[\w\s*]*?\b(\w+)\s*\((?!\s*\*)", statement)
        if found and found.group(1) not in ("defined",):
            names.add(found.group(1))
    return names


def shown(nm, library, dynamic):
    arguments = [nm, "--defined-only", "-D" if dynamic else "-g", str(library)]
    output = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    names = set()
    for line in output.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[1] != "A":  # A: the version itself
            names.add(fields[2])
    return names


def differences(declared, exported, version_node, static_names):
    found = []
    plain = {name.split("@")[0] for name in exported}
    for name in sorted(declared - plain):
        found.append(f"{name} is declared, but not in the shared library")
    for name in sorted(plain - declared):
        found.append(f"{name} is in the shared library, but no public header declares it")
    for name in sorted(exported):
        if not name.endswith("@@" + version_node):
            found.append(f"{name} has not the version {version_node}")
    for name in sorted(static_names ^ plain):
        found.append(f"{name} is in one of the two libraries only")
    return found


def variables(dump):
    """Objects in sections that can be written, out of what objdump -t prints."""
    found = set()
    for line in dump.splitlines():
        section = re.search(r" (?:O| ) (\.t?(?:data|bss)(?:\.\S+)?|\*COM\*)\s+[0-9a-f]+\s+(?:\.hidden )?(\S+)$", line)
        if section and not section.group(1).startswith(".data.rel.ro") and not section.group(2).startswith("."):
            found.add(section.group(2).split(".")[0])
    return found


def version_of(headers, map_file):
    major, minor = (re.search(rf"define WALRUS_VERSION_{part} (\d+)", headers).group(1) for part in ("MAJOR", "MINOR"))
    node = f"WALRUS_{major}.{minor}"
    inside = re.findall(r"^(\w[\w.]*)\s*{", map_file, re.M)
    return node, [] if inside == [node] else [f"the map has the versions {inside}, walrus.h is of {node}"]


def main():
    nm, objdump, header_dir, shared, static, map_file = sys.argv[1:7]
    headers = "".join(path.read_text() for path in sorted(pathlib.Path(header_dir).glob("*.h")))
    declared = declared_functions(headers)
    exported, static_names = shown(nm, shared, True), shown(nm, static, False)
    node, found = version_of(headers, pathlib.Path(map_file).read_text())
    dump = subprocess.run([objdump, "-t", static], check=True, capture_output=True, text=True).stdout
    if "--self" in sys.argv[7:]:
        one = sorted(exported)[0]
        plants = {
            "a declaration": (declared | {"walrus_new"}, exported, static_names),
            "a forgotten declaration": (declared - {one.split("@")[0]}, exported, static_names),
            "an internal name": (declared, exported | {"crc32c@@" + node}, static_names | {"crc32c"}),
            "a name without version": (declared, exported - {one} | {one.split("@")[0]}, static_names),
            "a name of the static library": (declared, exported, static_names | {"crc32c"}),
            "no function": (declared_functions(headers + "int walrus_other(\n    int (*f)(void), int);"), exported, static_names),
        }
        found = [f"{what} was not noticed" for what, case in plants.items() if not differences(case[0], case[1], node, case[2])]
        planted = "".join(f"0000000000000000 l     {' ' if section == '.tbss' else 'O'} {section}\t0000000000000004 planted_{i}\n" for i, section in
                          enumerate((".bss", ".data", ".tbss", ".data.local", ".data.rel.ro.local", ".rodata")))
        if variables(planted) != {f"planted_{i}" for i in range(4)}:
            found.append(f"variables were not told from constants: {variables(planted)}")
    else:
        found += differences(declared, exported, node, static_names)
        if not re.search("__[at]san_", dump):  # a sanitizer has variables of its own
            found += [f"{name} is a variable of the whole process" for name in sorted(variables(dump) - set(VARIABLES))]
        if len(declared) < 40:
            found.append(f"only {len(declared)} declarations were understood")
    print("\n".join(found) or f"ok: {len(exported)} functions")
    return 1 if found else 0


sys.exit(main())
