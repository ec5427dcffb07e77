# SPDX-License-Identifier: MIT
"""
How many leases a second, against what a server that does nothing can do here, and against the DHCP
servers of Debian; what a request costs in instructions and system calls.
"""

import contextlib
import os
import statistics
import time

import counting
import dhcp
import reasons
from observe import calls, counts_instructions, cpu_seconds, instructions, processor_times
from report import goal, is_missed, number, plot, save, spread, table
from world import STATE, TOOLS, Failure, World, processes

AT_ONCE = (1, 16, 64)
# New leases of one server, in parts: with those of WARM, fewer than the lines that its log takes at
# once.
PARTS = 10
REQUESTS = {1: 400, 16: 1500, 64: 1500}  # of a part
WARM = 1000
START = 3  # seconds, in which a server reads its device for the second time
PEERS = 36000
# So few that the server reads the device for its decisions, as often as it allows itself.
FEW = 2500
FEW_WARM = 100
FEW_REQUESTS = {1: 500, 16: 2400, 64: 2400}
PAUSE = 3  # seconds: one after the last decision is a reading, which is good for another
LARGE_DEVICE = 8192  # allowed-ips, as in src/engine.h
assert FEW + 2 * (FEW_WARM + max(FEW_REQUESTS.values())) <= LARGE_DEVICE

LIMITS = {"transport": "transport limit", "durable": "durable limit",
          "room": "durable limit with room"}
DURABLE = ("durable", "room")
OURS = {"new": "ours, new leases", "renewals": "ours, renewals"}
SMALL = {"few": "ours, new leases, %s peers" % number(FEW),
         "few renewals": "ours, renewals, %s peers" % number(FEW)}


# ---- what is compared

def start_limit(stack, kind, on):
    """Its host, and its process."""
    world = stack.enter_context(World())
    world.tunnel()
    words = {"transport": ["transport"], "durable": ["durable", STATE + "/limit"],
             "room": ["durable", STATE + "/limit", "room"]}[kind]
    server = world.start_ready("srv", os.path.join(TOOLS, "limit"), *words)
    world.load(on=on, c=max(AT_ONCE), n=WARM, p=WARM)
    return world, [server.pid]


def start_ours(stack, peers, warm, on):
    """A new server that has a few leases: its host, its processes, and its device."""
    world = stack.enter_context(World())
    world.tunnel()
    device = world.device(peers)
    pids = processes(world.server().pid)
    world.load(on=on, c=max(AT_ONCE), n=warm, p=warm)
    return world, pids, device


def check(world, device, peers, leases, renewals=0):
    """What was leased is on the device, in the journal and in the log; renewals in the journal."""
    counts = world.device_counts(device)
    if counts["allowed_ips"] != peers + 2 * leases or counts["moved"]:
        raise Failure("%d leases, but this on the device: %s" % (leases, counts))
    with open(world.state + "/wg0.leases", "rb") as journal:
        lines = sum(line.startswith(b"lease ") for line in journal)
    logged = world.log().count(": leased ")
    if lines < leases + renewals or logged != leases:
        raise Failure("%d leases, %d renewals, but %d in the journal and %d in the log" %
                      (leases, renewals, lines, logged))


def timed(world, pids, on, at_once, requests, first):
    """
    Also the time that each request took, in us: of all, and but for those at both ends, where all
    begin together or fewer are at once; the processor time of each process for a request, in us:
    all, and the user part; and the machine's, what was left and all, with the load generator's
    start.
    """
    os.sync()  # nobody's disk has to write what another has left
    before, machine = cpu_seconds(pids), processor_times()
    result = world.load(on=on, c=at_once, n=requests, p=requests, f=first, s=requests)
    result["cpu"] = [[(b - a) / requests * 1e6 for a, b in zip(*both)]
                     for both in zip(before, cpu_seconds(pids))]
    result["machine"] = [b - a for a, b in zip(machine, processor_times())]
    result["all took"] = [took for _, took in sorted(result.pop("slowest"))]
    result["took"] = result["all took"][at_once:-at_once]
    return result


def together(parts, requests):
    """Of the parts of a round, of so many requests each, one result."""
    took, all_took = (sorted(us for part in parts for us in part[key])
                      for key in ("took", "all took"))
    left, whole = (sum(times) for times in zip(*(part["machine"] for part in parts)))
    return {"rate": len(parts) * requests / sum(part["seconds"] for part in parts),
            "mean": statistics.mean(took),
            **{key: took[int(share * len(took))]
               for key, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999))},
            "max": took[-1],
            "p99 of all": all_took[int(0.99 * len(all_took))],
            "cpu": [[statistics.mean(times) for times in zip(*process)]
                    for process in zip(*(part["cpu"] for part in parts))],
            "idle": left / whole}


def one_round(on, at_once):
    """
    All that is not DHCP, so many at once: by candidate its result, with the rates of the durable
    limits at the same time. A virtual machine is fast at one time and slow at another, so limits
    and ours run in short parts that follow each other; with few peers in one part, between two of
    each durable limit, as a pause would change how often the device is read. Before that is a pause
    until no reading is good any more, not for renewals either.
    """
    requests, few = REQUESTS[at_once], FEW_REQUESTS[at_once]
    found = {name: [] for name in (*LIMITS, *OURS)}
    with contextlib.ExitStack() as stack:
        hosts = {name: start_limit(stack, name, on) for name in LIMITS}
        world, pids, device = start_ours(stack, PEERS, WARM, on)
        small, small_pids, small_device = start_ours(stack, FEW, FEW_WARM, on)
        time.sleep(START)
        for i in range(PARTS):
            first = WARM + 1 + i * requests
            order = [*LIMITS, "ours"]
            turn = i % len(order)
            for name in order[turn:] + order[:turn]:
                for kind in (OURS if name == "ours" else (name,)):
                    found[kind].append(timed(*hosts.get(kind, (world, pids)), on, at_once,
                                             requests, first))
        check(world, device, PEERS, WARM + PARTS * requests, PARTS * requests)
        results = {name: together(parts, requests) for name, parts in found.items()}
        for result in results.values():
            result["limits"] = {name: results[name]["rate"] for name in DURABLE}
        load = (on, at_once, few, FEW_WARM + 1)
        for name in SMALL:
            time.sleep(PAUSE)
            around = {limit: [timed(*hosts[limit], *load)] for limit in DURABLE}
            before = small.device_counts(small_device)
            results[name] = together([timed(small, small_pids, *load)], few)
            after = small.device_counts(small_device)
            results[name]["readings"] = after["gets"] - before["gets"]
            for limit in reversed(DURABLE):
                around[limit].append(timed(*hosts[limit], *load))
            results[name]["limits"] = {limit: together(parts, few)["rate"]
                                       for limit, parts in around.items()}
        check(small, small_device, FEW, FEW_WARM + few, few)
    return results


def processor():
    """
    Which is the load generator's: the first or the last, where the durable limit is higher; and
    what that was on each. Left to the kernel, in some runs it shares one with the server, and
    another is idle.
    """
    there = sorted(os.sched_getaffinity(0))
    rates = {there[0]: [], there[-1]: []}

    print("rates: which processor for the load generator", flush=True)
    with contextlib.ExitStack() as stack:
        host = start_limit(stack, "durable", None)
        for _ in range(5):
            for on, found in rates.items():
                found.append(timed(*host, on, 16, REQUESTS[16], WARM + 1)["rate"])
    found = {on: statistics.median(rates[on]) for on in rates}
    return max(found, key=found.get), found


def compare(rounds, servers, on):
    """
    By candidate and number at once, the results of a load generator on this processor, one of each
    round; and by DHCP server the most of each.
    """
    results = {name: {c: [] for c in AT_ONCE} for name in (*LIMITS, *OURS, *SMALL)}
    others = {name: dhcp.Dhcp(name) for name in servers}
    rates = {name: [] for name in servers}

    order = [*AT_ONCE, *servers]
    for i in range(rounds):
        turn = i % len(order)
        for what in order[turn:] + order[:turn]:
            print("rates: round %d of %d: %s" % (
                i + 1, rounds, what if what in others else "%d at once" % what), flush=True)
            if what in others:
                rates[what].append(others[what].measure(on))
                continue
            for name, result in one_round(on, what).items():
                results[name][what].append(result)
    return results, rates


# ---- what a request costs

# Of one server: how many at once, requests, and the first peer, so that all are new at first.
COUNTED = ((1, 500, 1), (64, 4000, 501))


def count_instructions():
    """Of each process, by kind and number at once, and how they were counted."""
    if not counts_instructions():
        print("rates: instructions, by valgrind", flush=True)
        return counting.count(), "valgrind"
    found = {}
    with World() as world:
        world.tunnel()
        world.device(PEERS)
        pids = processes(world.server().pid)
        for kind in OURS:
            for c, count, first in COUNTED:
                print("rates: instructions: %s, %d at once" % (kind, c), flush=True)
                _, counts = instructions(pids, lambda c=c, count=count, first=first: world.load(
                    c=c, n=count, p=count, f=first))
                found[kind, c] = [n / count for n in counts.values()]
    return found, "perf"


def count_calls():
    """Of each process, by kind and number at once."""
    found = {}
    with World() as world:
        world.tunnel()
        world.device(PEERS)
        pids = processes(world.server().pid)
        for kind in OURS:
            for c, count, first in COUNTED:
                print("rates: system calls: %s, %d at once" % (kind, c), flush=True)
                _, counts = calls(pids, lambda c=c, count=count, first=first: world.load(
                    c=c, n=count, p=count, f=first))
                found[kind, c] = [{name: n / count for name, n in by_name.items()}
                                  for by_name in counts.values()]
    return found


# ---- report

def rates_of(results, name, c):
    return [r["rate"] for r in results[name][c]]


def ratios(above, below):
    return [a / b for a, b in zip(above, below)]


def rate_section(results, others, rounds, on):
    rows = [(title, *(spread(rates_of(results, name, c)) for c in AT_ONCE))
            for name, title in {**LIMITS, **OURS, **SMALL}.items()]
    rows += [("readings of the device in that of %s" % title,
              *(spread([r["readings"] for r in results[name][c]]) for c in AT_ONCE))
             for name, title in SMALL.items()]
    for name, found in others.items():
        rows.append((dhcp.SERVERS[name][0], "", "", spread([best for best, _ in found])))
    labels = [title for title in (*LIMITS.values(), *OURS.values())]
    values = [rates_of(results, name, 64) for name in (*LIMITS, *OURS)]
    for name, found in others.items():
        labels.append(dhcp.SERVERS[name][0])
        values.append([best for best, _ in found])
    return ("Leases a second",
            "Requests that were answered in a second, so many at once; for DHCP the most complete "
            "exchanges of four packets (dhcp.py says how). %d rounds, median (least to most); but "
            "for DHCP and few peers each round is %d parts, in turn with those of the limits. Ours "
            "have %s peers; with few, a server also reads the device for its decisions, and a "
            "round is one burst of %s requests (at 1 at once %s), after %d s without any. Each new "
            "lease is logged. Load comes from processor %d; servers run where the kernel sees "
            "fit.\n\n" % (rounds, PARTS, number(PEERS), number(FEW_REQUESTS[64]),
                         number(FEW_REQUESTS[1]), PAUSE, on) +
            table(("", "1", "16", "64"), rows) + "\n" +
            plot("rates", "Leases a second, 64 at once", "a second", labels, values))


def ratio_section(results, others):
    rows, why = [], []

    def add(row, beside, reason, *args):
        rows.append((*row, beside and spread(beside)))
        if is_missed(row):
            why.append("- %s: %s\n" % (row[0], reason(results, *args)))

    for name, least in (("new", 0.85), ("renewals", 0.9), ("few", 0.85), ("few renewals", 0.9)):
        for c in AT_ONCE:
            to = {limit: ratios(rates_of(results, name, c),
                                [r["limits"][limit] for r in results[name][c]])
                  for limit in DURABLE}
            add(goal("%s, %d at once, to the durable limit" % ({**OURS, **SMALL}[name], c),
                     to["durable"], at_least=0.7 if c == 1 else least),
                to["room"], reasons.lease, name, c)
    for name, least in (("kea", 3), ("kea-quiet", 3), ("dhcpd", 7), ("dnsmasq", 30)):
        if name in others:
            best = [b for b, _ in others[name]]
            add(goal("%s, 64 at once, to %s" % (OURS["new"], dhcp.SERVERS[name][0]),
                     ratios(rates_of(results, "new", 64), best), at_least=least),
                "", reasons.server, best, least)
    for name in OURS:
        to = {limit: ratios([r["p99"] for r in results[name][64]],
                            [r["p99"] for r in results[limit][64]]) for limit in DURABLE}
        add(goal("p99 of %s, 64 at once, to the durable limit's" % OURS[name],
                 to["durable"], at_most=1.3), to["room"], reasons.latency, name)
    return ("Ratios", "Each of two figures of the same round; median (least to most) of the "
            "rounds. With few peers, to the durable limit right before and after, and a round is "
            "one burst: so the spread is that of bursts, not of the means of %d parts. Beside the "
            "ratio that has a goal is that to the durable limit with room, whose file is long "
            "enough already, and which sends the answer and the end of the connection in one "
            "packet, as ours does.\n\n" % PARTS +
            table(("", "ratio", "goal", "", "to the limit with room"), rows) +
            ("\nWhere a goal is missed, medians of the rounds:\n\n" + "".join(why) if why else ""))


def latency_section(results):
    rows = []
    for name, title in {**LIMITS, **OURS, **SMALL}.items():
        for c in AT_ONCE:
            rows.append((title, c, *(number(statistics.median(r[key] for r in results[name][c]))
                                     for key in ("p50", "p90", "p99", "p999", "max",
                                                 "p99 of all"))))
    return ("Latency", "From connect() to the whole answer, microseconds, of all parts of a round, "
            "but for the first and last requests of each, as many as are at once; the last p99 is "
            "with these too. Medians of the rounds.\n\n" +
            table(("", "at once", "p50", "p90", "p99", "p99.9", "most", "p99 of all"), rows))


def instruction_section(found, how):
    rows = [(*goal("%s, %d at once" % (OURS[kind], c), [sum(counts)], at_most=15000), *counts)
            for (kind, c), counts in found.items()]
    missed = [key for key, row in zip(found, rows) if is_missed(row[:4])]
    if missed and how == "perf":
        counting.count()  # which knows the functions
    return ("User instructions", "Of a request, counted by %s%s.\n\n" % (
        how, " (counting.py says how)" if how == "valgrind" else "") + table(
            ("", "together", "goal", "", *counting.ROLES), rows) +
            (reasons.instructions(missed) if missed else ""))


def time_section(results):
    rows = []
    for name, title in {**LIMITS, **OURS}.items():
        for c in AT_ONCE:
            cpu = [r["cpu"] for r in results[name][c]]
            cells = [statistics.median(sum(p[i] for p in halves) for halves in cpu)
                     for i in (0, 1)]
            cells += [statistics.median(halves[role][0] for halves in cpu)
                      for role in range(len(counting.ROLES))] if name in OURS else ["", "", ""]
            rows.append((title, c, *cells))
    return ("Processor time", "Of a request, microseconds, medians. The user part is what the "
            "kernel has sampled.\n\n" + table(
                ("", "at once", "together", "of it user", *counting.ROLES), rows))


def call_section(found):
    rows = []
    for (kind, c), halves in found.items():
        for role, counts in zip(counting.ROLES, halves):
            most = sorted(counts.items(), key=lambda item: -item[1])
            rows.append((OURS[kind], c, role, sum(counts.values()),
                         ", ".join("%s %.2f" % pair for pair in most if pair[1] >= 0.01)))
    return ("System calls", "Of a request, by `strace -c`, under which the server is slower and "
            "decides more requests at a time.\n\n" +
            table(("", "at once", "process", "calls", "which"), rows))


def run(options):
    servers = [name for name in dhcp.SERVERS if not options.only or name in options.only]
    on, pilot = processor()
    results, others = compare(options.rounds, servers, on)
    counted, how = count_instructions()
    called = count_calls()
    save("rates", {
        "processor": {"chosen": on, "durable limit, 16 at once, on each": pilot},
        "results": results,
        "dhcp": {name: [{"best": best, "offered and completed": tried} for best, tried in found]
                 for name, found in others.items()},
        "instructions": {"%s %d" % key: value for key, value in counted.items()},
        "calls": {"%s %d" % key: value for key, value in called.items()}})
    return [rate_section(results, others, options.rounds, on), ratio_section(results, others),
            latency_section(results), instruction_section(counted, how), time_section(results),
            call_section(called)]
