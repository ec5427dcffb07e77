#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
bench.py - the entry of `make bench': measures, and writes build/bench/report.md, with the raw
values in JSON beside it. README.md says what is measured, and how. As root.

A part is a module with run(options), which returns sections of the report: titles and their text in
Markdown. Nothing here fails because a goal is missed, but because something does not work.
"""

import argparse
import importlib
import os
import platform
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from world import TOOLS, Failure  # noqa: E402

PARTS = ("rates", "scale", "client", "simulation")


def said(*words):
    """What a program prints, if it is there and succeeds."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          check=False)
    return done.stdout.strip() if not done.returncode else "unknown"


def filesystem():
    """Of the folder in which all servers keep their leases."""
    name = said("stat", "-f", "-c", "%T", TOOLS)
    if name in ("tmpfs", "ramfs"):
        sys.exit("build/bench is on %s, where fdatasync() costs nothing: use a disk" % name)
    return name


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return "wg-dynamic %s; %d x %s, Linux %s, %s, load at the start %.1f" % (
        said("git", "-C", os.path.dirname(__file__), "describe", "--always", "--dirty"),
        os.cpu_count(), models[0] if models else platform.machine(), platform.release(),
        filesystem(), os.getloadavg()[0])


def exists(part):
    return os.path.exists(os.path.join(os.path.dirname(os.path.abspath(__file__)), part + ".py"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", type=int, default=500000, help="the most, in scale")
    parser.add_argument("--only", action="append", default=[],
                        help="of rates' DHCP servers this one, `none' for none")
    options = parser.parse_args()
    parts = options.parts or [part for part in PARTS if exists(part)]
    for part in parts:
        if part not in PARTS or not exists(part):
            sys.exit("%s: there is no such part, but %s" % (part, ", ".join(PARTS)))
    if options.rounds < 1 or options.peers < 1:
        sys.exit("ROUNDS and --peers are numbers from 1 on")
    if os.geteuid():
        sys.exit("hosts are namespaces, which only root can make: use sudo")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    os.makedirs(TOOLS, exist_ok=True)
    began = time.strftime("%Y-%m-%d %H:%M")
    text = "# Benchmarks\n\n%s; %s. Parts: %s.\n" % (began, machine(), ", ".join(parts))
    path = os.path.join(TOOLS, "report.md")
    for part in parts:
        try:
            sections = importlib.import_module(part).run(options)
        except Failure as failure:
            sys.exit("%s: %s" % (part, failure))
        for title, body in sections:
            text += "\n## %s\n\n%s" % (title, body)
        # What there is stays, should a later part fail.
        with open(path, "w", encoding="utf-8") as report:
            report.write(text)
    print(text)
    print("written to %s" % os.path.relpath(path))


if __name__ == "__main__":
    main()
