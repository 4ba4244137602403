#!/usr/bin/env python3
"""Breaks the engine on purpose, one guarantee at a time, and looks whether the tests notice.

    tests/controls/run.py [--backend NAME] [--build DIRECTORY] [NAME...]      default: all of broken.py, on memory

A copy of the sources is built in DIRECTORY (default: a temporary one). For each entry of broken.py the text is changed, the tests
it names are built and run, and every test function it names must fail; then the text is put back. At the end stands which functions
of those test programs were never seen to fail. Exit status 1: something broken was not noticed, or a change no longer fits the
sources. Takes minutes; not part of CI.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
from broken import BROKEN  # noqa: E402


def copy_sources(where):
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, files.split("\0")):
        target = os.path.join(where, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        # Not the time of the original: a file that differs must be newer than what was built from it.
        if not os.path.exists(target) or open(os.path.join(ROOT, name), "rb").read() != open(target, "rb").read():
            shutil.copyfile(os.path.join(ROOT, name), target)
            shutil.copymode(os.path.join(ROOT, name), target)


def build(where, programs):
    directory = os.path.join(where, "build")
    if not os.path.exists(os.path.join(directory, "build.ninja")):
        subprocess.run(["meson", "setup", directory, "--buildtype=debugoptimized", "-Dmount=false", "-Dwerror=false"],
                       cwd=where, capture_output=True, check=True)
    targets = ["tests/unit/test_" + program for program in programs]
    done = subprocess.run(["ninja", "-C", directory] + targets, capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stdout[-3000:])
    return done.returncode == 0


def run(where, program, backend):
    """The test functions that failed, and those that passed."""
    environment = dict(os.environ, WALRUS_TEST_BACKEND=backend)
    command = [os.path.join(where, "build/tests/unit/test_" + program)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", timeout=90)
        output, ended = done.stdout + done.stderr, done.returncode >= 0
    except subprocess.TimeoutExpired as late:
        output = ((late.stdout or b"") + (late.stderr or b"")).decode(errors="replace")
        ended = False
    failed = set(re.findall(r"^\[  FAILED  \] (\w+)$", output, re.M))
    passed = set(re.findall(r"^\[       OK \] (\w+)$", output, re.M))
    started = re.findall(r"^\[ RUN      \] (\w+)$", output, re.M)
    if not ended and started:
        failed.add(started[-1])  # died or hung in it
    return failed, passed


def change(path, old, new):
    text = open(path).read()
    if text.count(old) != 1:
        return None
    open(path, "w").write(text.replace(old, new))
    return text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", default="memory")
    parser.add_argument("--build", help="kept for the next time")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    where = arguments.build or tempfile.mkdtemp(prefix="walrus-controls-")
    copy_sources(where)
    seen_failing, all_tests, troubles = set(), set(), []

    entries = [entry for entry in BROKEN if not arguments.names or entry["name"] in arguments.names]
    programs = sorted({test.split(".")[0] for entry in entries for test in entry["noticed_by"]})
    if not build(where, programs):
        return 1
    for program in programs:
        failed, passed = run(where, program, arguments.backend)
        all_tests |= {program + "." + name for name in passed}
        if failed:
            troubles.append(f"{program} fails without anything broken: {sorted(failed)}")
    for entry in entries:
        path = os.path.join(where, entry["file"])
        before = change(path, entry["old"], entry["new"])
        if before is None:
            troubles.append(f"{entry['name']}: the change no longer fits {entry['file']}")
            continue
        wanted = set(entry["noticed_by"])
        programs = sorted({test.split(".")[0] for test in wanted})
        if not build(where, programs):
            troubles.append(f"{entry['name']}: does not build")
        else:
            noticed = {program + "." + name for program in programs for name in run(where, program, arguments.backend)[0]}
            seen_failing |= noticed
            missed = sorted(wanted - noticed)
            print(f"{'NOT NOTICED' if missed else 'noticed':12} {entry['name']:32} {', '.join(missed) or f'by {len(noticed)}'}",
                  flush=True)
            others = sorted(noticed - wanted)
            if others:
                print(f"{'':12} {'':32} also: {', '.join(others)}", flush=True)
            if missed:
                troubles.append(f"{entry['name']}: not noticed by {', '.join(missed)}")
        open(path, "w").write(before)
    never = sorted(all_tests - seen_failing)
    print(f"{len(entries)} changes, {len(seen_failing)} test functions seen to fail, {len(never)} not"
          + (": " + ", ".join(never) if never else ""))
    for trouble in troubles:
        print("TROUBLE:", trouble)
    if not arguments.build:
        shutil.rmtree(where)
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
