#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
client.py - what a client costs: the time from its start to its addresses, that of `wg-quick up'
with `auto', its memory, and what it does between renewals (and what an idle server does).

  client.py [--rounds N] [--idle SECONDS]    prints the sections of `make bench' that are about this

Hosts are those of tests/netns/lib.bash. Times are taken within them, by `bare time'; what is
compared runs in turn, and what counts is the ratio. There, all runs with real-time priority, where
it may: a start is many short steps of several processes, each of which would else wait for its turn
when the machine has other work. As root; `make bench' builds what it needs.
"""

import argparse
import collections
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from hosts import BARE, DEVICE, POOLS, ROLES, ROUTES, Hosts
from observe import memory
from report import number, save, spread, table, verdict
from world import Failure, die_with_us

START_GOAL, RSS_GOAL, UP_GOAL, READING = 1.5, 2048, 60, 30  # times, KiB, ms, s
WAKES = 2  # of the monitor, and of the server's engine, for a reading


# ---- from start to addresses


def start_rounds(hosts, rounds):
    """Milliseconds of the client and of the bare one, which begin with nothing leased."""
    link_local = hosts.run('echo "${LL[c1]}"').strip()
    begin = {"client": "wg-dynamic client wg0", "bare": "%s lease wg0 %s" % (BARE, link_local)}
    end = {"client": "on c1 wg-dynamic stop wg0",
           "bare": "on c1 %s release wg0 %s && on c1 ip address flush dev wg0 scope global" %
                   (BARE, link_local)}
    took = {"client": [], "bare": []}
    for i in range(rounds + 1):
        for what in sorted(took, reverse=i % 2):
            ms = hosts.time("c1", begin[what])
            hosts.run("v4 c1 && v6 c1 && %s && no_addrs c1" % end[what])
            if i:  # the first round fills caches
                took[what].append(ms)
    return took


def start_section(rounds):
    rows, raw = [], {}
    for name in ("a tunnel without encryption", "WireGuard"):
        with Hosts(in_time=True) as hosts:
            hosts.cable() if "without" in name else hosts.tunnel()
            if name == "WireGuard":
                name += ", wireguard-go" if "tun" in hosts.run(
                    "on c1 ip -d link show wg0") else ", the kernel's"
            took = raw[name] = start_rounds(hosts, rounds)
        ratio = statistics.median(took["client"]) / statistics.median(took["bare"])
        rows.append((name, spread(took["client"]), spread(took["bare"]), "%.2f" % ratio,
                     "at most %.1f" % START_GOAL, verdict(ratio <= START_GOAL)))
    save("client-start", raw)
    return ("The client, from start to addresses set",
            "`wg-dynamic client wg0` until it returns, against a program that connects, asks, "
            "reads the answer and runs `ip address add` twice (`bare lease`). %d rounds in turn, "
            "with real-time priority, ms, median (least to most).\n\n" % rounds +
            table(("link", "client", "bare", "ratio", "goal", ""), rows))


# ---- memory


def memory_section():
    with Hosts() as hosts:
        hosts.tunnel()
        hosts.run("on c1 wg-dynamic client wg0")
        pids = hosts.pids("c1", "client")
        pids["a program that only waits"] = hosts.start([BARE, "pause"]).pid
        time.sleep(0.2)
        seen = {name: memory([pids[role] for role in roles]) for name, roles in (
            *((role, (role,)) for role in pids), ("both halves", ("monitor", "engine")),
            ("all three", ROLES))}
    save("client-memory", seen)
    both = seen["both halves"]
    return ("Memory of a client that has a lease",
            "KiB. Counted once: all pages that are resident, those of libc too, which other "
            "programs have mapped as well; Pss is the client's share. The goal, at most %s for RSS "
            "of both halves, the monitor and the engine, can be read in two ways: by the sum of "
            "both, %s, it is %s; with each page counted once, %s, it is %s. A program that only "
            "waits has %s, nearly all of it libc and its loader, of which more is looked at the "
            "more of it is called; our own are %s of anonymous memory, and the program's text.\n\n"
            % (number(RSS_GOAL), number(both["rss"] // 1024),
               verdict(both["rss"] <= RSS_GOAL * 1024), number(both["pages"] // 1024),
               verdict(both["pages"] <= RSS_GOAL * 1024),
               number(seen["a program that only waits"]["rss"] // 1024),
               number(both["anon"] // 1024)) +
            table(("process", "RSS", "of it anonymous", "Pss", "counted once"),
                  [(name, *(figures[key] // 1024 for key in ("rss", "anon", "pss", "pages")))
                   for name, figures in seen.items()]))


# ---- idle


def switches(pid):
    """Voluntary ones so far: each is a wake-up."""
    with open("/proc/%d/status" % pid) as status:
        return int(re.search(r"^voluntary_ctxt_switches:\t(\d+)", status.read(), re.M).group(1))


def calls(trace, since, until):
    """Of strace's output: by PID, how often it made which calls meanwhile; and its children."""
    made, children = collections.defaultdict(collections.Counter), collections.Counter()
    for line in trace:
        match = re.match(r"(\d+) +([\d.]+) (?:<\.\.\. )?(\w+)[ (]", line)
        if match and since < float(match.group(2)) < until and not line.endswith(" ...>\n"):
            pid, call = int(match.group(1)), match.group(3)
            made[pid][call] += 1
            children[pid] += call in ("clone", "clone3", "fork", "vfork")
    return made, children


def daemons(hosts):
    return {(daemon, role): pid for host, daemon in (("c1", "client"), ("srv", "server"))
            for role, pid in hosts.pids(host, daemon).items()}


def idle(counted, traced, seconds):
    """By process: switches of those counted; calls and children of those traced, meanwhile."""
    with tempfile.NamedTemporaryFile("r") as file:
        strace = subprocess.Popen(["strace", "-qq", "-f", "-ttt", "-o", file.name,
                                   *("-p%d" % pid for pid in traced.values())],
                                  stderr=subprocess.DEVNULL, preexec_fn=die_with_us)
        time.sleep(1)
        since, before = time.time(), {who: switches(pid) for who, pid in counted.items()}
        time.sleep(seconds)
        until, after = time.time(), {who: switches(pid) for who, pid in counted.items()}
        strace.send_signal(signal.SIGINT)
        strace.wait()
        made, children = calls(file, since, until)
    return ({who: after[who] - before[who] for who in counted},
            {who: made[pid] for who, pid in traced.items()},
            {who: children[pid] for who, pid in traced.items()})


def only_readings(woken, made, readings, seconds):
    """
    Whether the server read its device in time only, and nothing woke it for anything else: one
    wake-up more may be of a reading that began before. What is not traced confirms it roughly.
    """
    times = readings["server", "monitor"]
    most = WAKES * times + 1
    return times <= seconds // READING + 1 and all(
        made["server", role]["epoll_wait"] <= allowed and woken["server", role] <= 2 * allowed
        for role, allowed in (("monitor", most), ("spawner", 0), ("engine", most)))


def idle_section(seconds):
    with Hosts() as first, Hosts() as second:
        for hosts in (first, second):
            hosts.tunnel()
            hosts.run("on c1 wg-dynamic client wg0")
        time.sleep(10)  # what follows a start, as the look at routes after 5 s
        woken, made, readings = idle(daemons(first), daemons(second), seconds)
    rows = []
    for daemon, role in woken:
        names = made[daemon, role]
        rows.append((daemon, role, woken[daemon, role], readings[daemon, role],
                     sum(names.values()),
                     ", ".join("%s %d" % pair for pair in names.most_common()) or "none"))
    asleep = not any(woken["client", role] or made["client", role] for role in ROLES)
    save("client-idle", {"%s %s" % who: {"switches": woken[who], "calls": made[who],
                                         "readings": readings[who]} for who in woken})
    return ("Idle for %d s, with a lease of an hour" % seconds,
            "Voluntary switches: how often a process has gone to sleep, after a wake-up. System "
            "calls, and readings, which are children that read the device: by strace, on other "
            "hosts at the same time. Goal for the server: no wake-up but for readings, at most one "
            "in %d s; %s. For the client: none between renewals; %s. (One that has routes pushed "
            "looks at its device every %d s as well, to put back what `wg syncconf` takes out; "
            "none are here.) A reading wakes the monitor %d times, and the engine as often, by "
            "epoll_wait(); one more may be of a reading that began before.\n\n" %
            (READING, verdict(only_readings(woken, made, readings, seconds)), verdict(asleep),
             READING, WAKES) +
            table(("daemon", "process", "voluntary switches", "readings", "system calls", ""),
                  rows))


# ---- wg-quick


VARIANTS = (
    ("the addresses written in", "{ll}/128, 192.0.2.77/32, 2001:db8::77/128"),
    ("link-local and `auto`", "{ll}/128, auto"),
    ("`auto` alone", "auto"),
)


def up_section(rounds):
    took = {name: [] for name, _ in VARIANTS}
    with Hosts(in_time=True) as hosts:
        hosts.star()
        link_local = hosts.run('wg-dynamic address "${PUB[c1]}" || '
                               'on c1 wg-dynamic address "${PUB[c1]}"').strip()
        hosts.run('note c1 LL %s && conf_server srv c1 && '
                  "up_server pool %s lease-time 3600" % (link_local, POOLS))
        for i in range(rounds + 1):
            for name, addresses in VARIANTS[i % 3:] + VARIANTS[:i % 3]:
                hosts.run('conf_client c1 srv "%s" && '
                          'on c1 sed -i "s,^Address = .*,Address = %s," /etc/wireguard/wg0.conf' %
                          (ROUTES, addresses.format(ll=link_local).replace(",", r"\,")))
                ms = hosts.time("c1", "wg-quick up wg0")
                hosts.run("v4 c1 && v6 c1 && wgq c1 down wg0 2>/dev/null")
                if i:
                    took[name].append(ms)
    save("client-up", took)
    plain = took[VARIANTS[0][0]]
    rows = []
    for name, _ in VARIANTS:
        more = statistics.median(took[name]) - statistics.median(plain)
        rows.append((name, spread(took[name]), *(("", "", "") if took[name] is plain else
                     ("%.1f" % more, "at most %d" % UP_GOAL, verdict(more <= UP_GOAL)))))
    return ("`wg-quick up` with `auto`",
            "The same configuration but for Address. %d rounds in turn, with real-time priority, "
            "ms, median (least to most); the tunnel is new each time, so with `auto` WireGuard's "
            "handshake is waited for.\n\n" % rounds +
            table(("Address", "ms", "longer, ms", "goal for that", ""), rows) +
            "\nWhat is longer is the client's start (above is how long that takes alone) and the "
            "handshake.\n")


# ---- all


def check_tools():
    for tool in (DEVICE, BARE):
        if not os.path.exists(tool):
            raise Failure("%s is missing: make bench" % tool)


def run(options):
    """Sections of the report: titles and text in Markdown."""
    rounds = max(5, getattr(options, "rounds", 10))
    check_tools()
    return [start_section(rounds), up_section(rounds), memory_section(),
            idle_section(getattr(options, "idle", 65))]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--idle", type=int, default=65, help="seconds")
    if os.geteuid():
        sys.exit("test hosts are namespaces: run this as root")
    try:
        for title, text in run(parser.parse_args()):
            print("## %s\n\n%s" % (title, text))
    except Failure as failure:
        sys.exit("%s" % failure)


if __name__ == "__main__":
    main()
