#!/usr/bin/env python3
"""Checks which part of the tree includes which: the arrows of docs/architecture.md.

test_includes.py ROOT            checks the tree
test_includes.py ROOT --self     plants a forbidden include in a copy of the rules' input and must find it
"""
import os
import pathlib
import re
import sys

# A part may include itself, what is listed, and system headers.
MAY_INCLUDE = {
    "engine/base": {"walrus"},
    "engine/format": {"walrus", "base"},
    "engine/io": {"walrus", "base"},
    "engine/store": {"walrus", "base", "format", "io"},
    "engine/api": {"walrus", "base", "format", "io", "store"},
    "engine/include": {"walrus"},
    "fs": {"walrus"},
    "tools": {"walrus", "fs/batch_parser.h", "fs/control_message.h", "fs/metrics.h", "fs/offset_text.h"},
}
ENGINE_LAYERS = {"base", "format", "io", "store", "api"}
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)


def part_of(path):
    """The longest listed folder that holds the path."""
    fits = [part for part in MAY_INCLUDE if path.as_posix().startswith(part + "/")]
    return max(fits, key=len) if fits else None


def target_of(part, folder, bracket, name):
    """What an include reaches: a layer, "walrus", a file of another part, or None for its own and the system's."""
    if bracket == '"' and name.startswith(".."):
        name = os.path.normpath(folder / name)
    first = name.split("/")[0]
    if part.startswith("engine/") and name.startswith(part + "/"):
        return None
    if first == "walrus" and "/" in name:
        return "walrus"
    if first in ENGINE_LAYERS and "/" in name:
        return None if part == "engine/" + first else first
    if bracket == '"' and first in ("fs", "tools", "engine", "tests") and first != part:
        return name
    return None


def violations(root, text_of=lambda path: path.read_text()):
    found = []
    for folder in ("engine", "fs", "tools"):
        for path in sorted((root / folder).rglob("*.[ch]")):
            relative = path.relative_to(root)
            part = part_of(relative)
            for bracket, name in INCLUDE.findall(text_of(path)):
                if part is None:
                    found.append(f"{relative}: in no known part of the tree")
                    break
                target = target_of(part, relative.parent, bracket, name)
                if target is not None and target not in MAY_INCLUDE[part]:
                    found.append(f"{relative}: includes {name}")
                if name.startswith("fuse") and part.startswith("engine"):
                    found.append(f"{relative}: the engine knows nothing of FUSE")
    return found


def self_test(root):
    """Each planted include must be found, or the check checks nothing."""
    plants = {
        "engine/format/name.c": '#include "io/io.h"\n',
        "engine/io/io.c": '#include "store/log.h"\n',
        "engine/base/error.c": '#include "format/name.h"\n',
        "engine/store/log.c": '#include "api/api_check.h"\n',
        "engine/store/read.c": "#include <fuse_lowlevel.h>\n",
        "fs/main.c": '#include "store/log.h"\n',
        "tools/main.c": '#include "../engine/store/log.h"\n',
    }
    for planted, line in plants.items():
        found = violations(root, lambda p: (line if p == root / planted else "") + p.read_text())
        if not any(entry.startswith(planted) for entry in found):
            return [f"a forbidden include planted in {planted} was not noticed"]
    return []


def main():
    root = pathlib.Path(sys.argv[1])
    found = self_test(root) if "--self" in sys.argv[2:] else violations(root)
    print("\n".join(found) or "ok")
    return 1 if found else 0


sys.exit(main())
