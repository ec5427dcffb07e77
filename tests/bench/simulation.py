# SPDX-License-Identifier: MIT
"""
A day of a million clients in virtual time (million.md): the peaks of their requests after an outage
of an hour and after a restart, whether they keep their addresses, and how the journal grows.
"""

import json
import os
import subprocess

from report import goal, save, table
from world import TOOLS, Failure

CLIENTS = 1000000
PEAK = 3.0  # times the mean, in the busiest second after the outage


def simulate(clients):
    """What the program prints: a text, and behind it its figures in JSON."""
    result = subprocess.run([os.path.join(TOOLS, "million"), "clients=%d" % clients],
                            stdout=subprocess.PIPE, text=True, check=False)
    text, fence, rest = result.stdout.partition("```json\n")
    if result.returncode or not fence:
        raise Failure("million ended with status %d" % result.returncode)
    return text, json.loads(rest.partition("```")[0])


def run(options):
    # As few as in `scale': for who only tries whether all of this works.
    clients = CLIENTS if options.peers >= 500000 else options.peers
    print("simulation: %d clients" % clients, flush=True)
    text, figures = simulate(clients)
    save("simulation", figures)
    rows = [goal("busiest second in the hour after the outage, to the mean",
                 [figures["outage_peak_second"]], at_most=PEAK)]
    return [("A day of many clients, simulated",
             table(("", "ratio", "goal", ""), rows) + "\n" + text)]
