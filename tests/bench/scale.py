# SPDX-License-Identifier: MIT
"""One server with up to 500,000 peers: memory, growth, and what no request should wait for."""

import statistics

import counting
import large
import pools
from observe import counts_instructions
from report import goal, number, save, spread, table, verdict

SIZES = (100, 10000, 100000, 500000)
PER_PEER = 320  # bytes
AT_START = 2.5e6


def memory_section(start, found):
    rows = []
    whole = start["all"]
    for name, memory in start.items():
        rows.append(("start, %s" % name, *(memory[key] / 1000 for key in
                                          ("rss", "anon", "pss", "pages", "reading")), "", "", ""))
    rows[-1] = (*rows[-1][:-3], "", "at most %s kB counted once" % number(AT_START / 1000),
                verdict(whole["pages"] <= AT_START))
    for peers, result in found.items():
        memory = result["memory"]
        each = (memory["pages"] - whole["pages"]) / peers
        row = ["%s peers" % number(peers)]
        row += [memory[key] / 1000 for key in ("rss", "anon", "pss", "pages", "reading")]
        row += ["%.0f" % each]
        row += ["at most %d" % PER_PEER, verdict(each <= PER_PEER)] if peers >= 10000 else ["", ""]
        rows.append(row)
    return ("Memory",
            "Of all processes, kB (1000 bytes). RSS: the sum, so what they share counts three "
            "times. Counted once: all pages that any of them has resident, by their frames, with "
            "what other programs share of libc; without the reading of the device, which stands by "
            "itself. Bytes a peer: what these are more than at the start, by the number of peers, "
            "each of which has two addresses.\n\n" +
            table(("", "RSS", "of it anonymous", "Pss", "counted once", "reading", "bytes a peer",
                   "goal", ""), rows))


def growth_section(found, counted):
    rows, base = [], None
    for peers, result in found.items():
        cpu = [cost["cpu"] for cost in result["cost"]]
        if base is None:
            base = statistics.median(cpu)
        times = statistics.median(cpu) / base
        rows.append((number(peers), spread(cpu), "%.2f" % times,
                     spread([cost["rate"] for cost in result["cost"]]),
                     spread([cost["p50 alone"] for cost in result["cost"]]),
                     number(counted.get(peers, "")), "within 1.3", verdict(times <= 1.3)))
    return ("Growth",
            "The cost of a renewal by the number of peers, all of which have leases: processor "
            "time of all processes, and its ratio to that with the fewest peers; 20,000 of them, "
            "64 at once; p50 is of 4,000 one at a time.\n\n" +
            table(("peers", "processor time, us", "ratio", "a second", "p50 alone, us",
                   "instructions", "goal", ""), rows))


def wait_row(name, during, else_, most, key="max"):
    more = (during[key] - else_[key]) / 1000
    return (name, during["requests"], during["p50"] / 1000, during["p99.9"] / 1000,
            during["max"] / 1000, else_["p99.9"] / 1000, else_["max"] / 1000, more,
            "at most %d" % most, verdict(more <= most))


def parts(result):
    return ({key[7:]: value for key, value in result.items() if key.startswith("during ")},
            {key[5:]: value for key, value in result.items() if key.startswith("else ")})


def wait_section(peers, result, expiry):
    readings, compaction = result["readings"], result["compaction"]
    rows = [
        wait_row("%d readings of the device, up to %.1f s long" %
                 (readings["times"], readings["seconds"]), *parts(readings), 20),
        wait_row("compaction, %.1f s" % compaction["seconds"], *parts(compaction), 20),
        wait_row("end of %s leases" % number(pools.EXPIRING), expiry["during"], expiry["else"], 50),
    ]
    return ("Who has to wait",
            "Renewals at %d a second, whatever becomes of them; ms from when each was due. Those "
            "that were under way meanwhile (for readings, half as long again, while the server "
            "works on what was read), against those while nothing happened; with %s peers, the "
            "third with %s.\n\n" % (large.PACE, number(peers), number(pools.EXPIRING)) +
            table(("what happens", "requests", "p50", "p99.9", "longest", "else p99.9",
                   "else longest", "longer by", "goal", ""), rows))


def start_section(peers, starts):
    rows = [goal("from exec() to the first answer, without the reading, s",
                 [s["rest"] for s in starts], at_most=1.0),
            ("with it", spread([s["seconds"] for s in starts]), "", ""),
            ("the reading alone", spread([s["reading"] for s in starts]), "", "")]
    return ("Start", "With %s peers and %s leased addresses in the journal and on the device.\n\n" %
            (number(peers), number(2 * peers)) + table(("", "s", "goal", ""), rows))


def pool_section(last):
    rows = [("first %d" % pools.FIRST, last["first p50"], last["first p99"], "", "")]
    slower = last["last p50"] / last["first p50"]
    rows.append(("last %d" % pools.SAMPLE, last["last p50"], "", "no slower than the first",
                 verdict(slower <= 1.1)))
    rows.append(("the very last", last["last"], "", "", verdict(last["last"] <= last["first p99"])))
    return ("The last address of a /16",
            "New leases of IPv4 addresses, one at a time, us; the pool is full after the last. "
            "As slow counts up to 1.1 times, and for a single one what the first's p99 was.\n\n" +
            table(("", "p50", "p99", "goal", ""), rows))


def run(options):
    start = large.without_leases()
    sizes = [size for size in SIZES if size < options.peers] + [options.peers]
    found, counted = {}, {}
    for peers in sizes:
        large.say("%d peers", peers)
        found[peers] = large.measure(peers, options.rounds, peers == sizes[-1])
        if "instructions" in found[peers]["cost"][0]:
            counted[peers] = statistics.median(c["instructions"] for c in found[peers]["cost"])
        elif not counts_instructions() and peers <= 10000:  # valgrind is slow
            counted[peers] = counting.renewals(peers)
    expiry = pools.expiry(min(pools.EXPIRING, max(sizes)))
    last = pools.last_address()
    save("scale", {"start": start, "by peers": found, "instructions": counted, "expiry": expiry,
                   "last address": last})
    largest = found[sizes[-1]]
    return [memory_section(start, found), growth_section(found, counted),
            start_section(sizes[-1], largest["start"]),
            wait_section(sizes[-1], largest, expiry), pool_section(last)]
