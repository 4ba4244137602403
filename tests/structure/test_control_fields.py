#!/usr/bin/env python3
"""Checks that every field of the structs that the control socket sends is in the tables of fs/control_message.c.

test_control_fields.py ROOT           checks the tree
test_control_fields.py ROOT --self    takes each field out of the tables in turn, which must be noticed
"""
import pathlib
import re
import sys

# Fields that stand in a table by their own fields, or only mean something in the process that fills them in.
NESTED = {"sync": "sync.mode", "consistency": "consistency.mode", "retention": "retention.mode",
          "settings": "settings.framing", "attributes": "attributes.mode"}


def fields_of(headers, struct):
    body = re.search(r"struct " + struct + r" \{(.*?)\n\};", headers, re.S).group(1)
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
    names = []
    for declaration in body.split(";"):
        if not declaration.strip():
            continue
        declarators = re.sub(r"^\s*(const\s+)?((enum|struct)\s+)?\w+\s", "", declaration)
        names += [re.sub(r"\[.*?\]", "", name).strip(" *\n") for name in declarators.split(",")]
    return names


def missing(headers, source):
    found = []
    for struct, table in re.findall(r"#define STRUCT struct (\w+)\n.*?\{(.*?)\};\nTABLE", source, re.S):
        sent = set(re.findall(r"(?:NUMBER|FLAG|CHARACTERS|POINTER)\(([\w.]+)\)", table))
        found += [f"struct {struct}: {name} is not sent" for name in fields_of(headers, struct)
                  if NESTED.get(name, name) not in sent and name not in sent]
    return found


def main():
    root = pathlib.Path(sys.argv[1])
    headers = "".join(path.read_text() for path in sorted((root / "engine/include/walrus").glob("*.h")))
    source = (root / "fs/control_message.c").read_text()
    found = missing(headers, source)
    if "--self" in sys.argv[2:]:
        fields = list(re.finditer(r"(?:NUMBER|FLAG|CHARACTERS|POINTER)\((\w+)\)(?=,|\})", source))
        assert len(fields) > 50, len(fields)
        found = [f"{field.group()} was taken out, and nobody noticed" for field in fields
                 if not missing(headers, source[:field.start()] + source[field.end():])]
    print("\n".join(found) or "ok")
    return 1 if found else 0


sys.exit(main())
