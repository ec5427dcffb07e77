# SPDX-License-Identifier: MIT
"""One server with up to 500,000 peers: memory, growth, and what no request should wait for."""

import statistics

import counting
import large
import pools
from observe import counts_instructions
from report import goal, is_missed, number, save, spread, table, verdict

SIZES = (100, 10000, 100000, 500000)
PER_PEER = 320  # bytes
AT_START = 2.5e6
GROWTH = 1.3
NEW_FROM = 10000  # peers: with fewer, new leases are too few to compare


def memory_section(start, found):
    def cells(memory):
        return [memory[key] / 1000 for key in ("rss", "anon", "pss", "pages", "reading")]

    rows = [("start, %s" % name, *cells(memory), "", "", "") for name, memory in start.items()
            if name != "pause()"]
    rows.append(("a program that only calls pause()", *cells(start["pause()"]), "", "", ""))
    for peers, result in found.items():
        for name, key in (("", "memory"), (", after a start", "memory after a start")):
            each = (result[key]["pages"] - start["all"]["pages"]) / peers
            rows.append((number(peers) + " peers" + name, *cells(result[key]), "%.0f" % each,
                         *(("at most %d" % PER_PEER, verdict(each <= PER_PEER))
                           if peers >= 10000 else ("", ""))))
    both, none = start["both halves"], start["pause()"]
    return ("Memory",
            "kB (1000 bytes). RSS: the sum, so what processes share counts several times. Counted "
            "once: all pages that any of them has resident, by their frames, with what other "
            "programs share of libc; without the reading of the device, which stands by itself. "
            "Both halves are the monitor and the engine; each row of peers is of all processes.\n\n"
            "At the start (goal: RSS of both halves at most %s kB): %s kB by the sum, %s; %s kB "
            "counted once, %s. A program that only calls pause() has %s kB, so two halves have "
            "%s by the sum whatever they do; what is more is nearly all libc and its loader, too, "
            "of which more is looked at the more of it is called: our own are %s kB of anonymous "
            "memory, and the program's text in each.\n\n"
            "Bytes a peer: what the pages of all processes, counted once, are more than at the "
            "start, by the number of peers, each of which has two addresses: after they were "
            "leased, and after a start from that journal.\n\n" %
            (number(AT_START / 1000), number(both["rss"] / 1000), verdict(both["rss"] <= AT_START),
             number(both["pages"] / 1000), verdict(both["pages"] <= AT_START),
             number(none["rss"] / 1000), number(2 * none["rss"] / 1000),
             number(both["anon"] / 1000)) +
            table(("", "RSS", "of it anonymous", "Pss", "counted once", "reading", "bytes a peer",
                   "goal", ""), rows) +
            "\nThe most that each process ever had resident until then, kB, readings that it has "
            "mapped included (two while one follows the other); and the one that reads the device "
            "every %d s, and ends.\n\n" % large.READING +
            table(("", *counting.ROLES, "reading the device"), [
                (number(peers) + " peers" + name, *(result[key]["peak"][role] / 1000 for role in
                                                    (*counting.ROLES, "reader")))
                for peers, result in found.items()
                for name, key in (("", "memory"), (", after a start", "memory after a start"))]))


def why_grown(what, peers, result, counted):
    """In a line, where the goal on growth is missed."""
    return ("- %s, %s peers: each request looks into hash tables of the reading of the device (%s "
            "MB) and of leases and changes (%s MB), at places that lie far apart, and of which "
            "caches hold less the larger they are. Its instructions hardly become more (a "
            "renewal's: %s with %s peers, and %s with %s; with more they were not counted%s).\n" %
            (what, number(peers), number(result["memory"]["reading"] / 1e6),
             number(result["memory"]["anon"] / 1e6),
             *(number(x) for size in (min(counted), max(counted))
               for x in (counted[size], size)),
             "" if what == "renewals" else ", nor a new lease's"))


def growth_section(found, counted):
    rows, why = [], ""
    new_base = min([size for size in found if size >= NEW_FROM] or [max(found)])
    for what, base in (("renewals", min(found)), ("new leases", new_base)):
        costs = {peers: result["cost"] if what == "renewals" else result["new"]["last"]
                 for peers, result in found.items()}
        cpu = {peers: [cost["cpu"] for cost in cost_of] for peers, cost_of in costs.items()}
        for peers, cost_of in costs.items():
            times = statistics.median(cpu[peers]) / statistics.median(cpu[base])
            more = (spread([cost["p50 alone"] for cost in cost_of]), number(counted.get(peers, "")),
                    "") if what == "renewals" else ("", "", found[peers]["new"]["all"])
            rows.append((what, number(peers), spread(cpu[peers]), "%.2f" % times,
                         *(statistics.median(cost[role] for cost in cost_of)
                           for role in ("engine", "monitor")),
                         spread([cost["rate"] for cost in cost_of]), *more,
                         *(("within %.1f" % GROWTH, verdict(times <= GROWTH))
                           if peers >= base else ("", ""))))
            why += why_grown(what, peers, found[peers], counted) if is_missed(rows[-1]) else ""
    return ("Growth",
            "The cost of a request by the number of peers, 64 at once: processor time of all "
            "processes, and its ratio. Renewals: %s, when all peers have leases, to those with the "
            "fewest peers; p50 is of 4,000 one at a time. New leases: the last %s (or all), to "
            "those with %s peers, since fewer are over before they have cost what they do later; "
            "beside them the mean of all, with the growth of tables and what readings bring, as "
            "often as they came.\n\n" %
            (number(large.COUNTED), number(large.COUNTED), number(new_base)) +
            table(("", "peers", "processor time, us", "ratio", "of it the engine's",
                   "the monitor's", "a second", "p50 alone, us",
                   "instructions", "of all, us", "goal", ""), rows) +
            ("\n" + why if why else ""))


def wait_row(name, during, else_, most, absolute=False):
    """The longest itself (absolute), or what it is more than hardly any quiet request takes."""
    judged = (during["max"] - (0 if absolute else else_["p99"])) / 1000
    return (name, during["requests"], during["p50"] / 1000, during["p99"] / 1000,
            during["max"] / 1000, else_["p99"] / 1000, else_["max"] / 1000, judged,
            "at most %d%s" % (most, "" if absolute else " longer"), verdict(judged <= most))


def why_waited(what, result):
    """In a line, where goals on waiting are missed."""
    return ("- %s: the longest was due after %.0f %% of it (of a reading, half as long again: what "
            "is beyond 67 %% waits for the server's work on it), and took %s ms. Longer than its "
            "p99, %s ms, is what the one in a hundred has to wait for: a disk that is slower "
            "now and then shows in `else`, too.\n" %
            (what, 100 * result["longest at"], number(result["during"]["max"] / 1000),
             number(result["during"]["p99"] / 1000)))


def wait_section(peers, result, expiry):
    readings, compaction = result["readings"], result["compaction"]
    rows, why = [], ""
    for title, found, most in (
            ("%d readings of the device, up to %.1f s long" %
             (readings["times"], readings["seconds"]), readings, 20),
            ("compaction, %.1f s" % compaction["seconds"], compaction, 20),
            ("end of %s leases" % number(expiry["leases"]), expiry, 50)):
        for kind in large.PACE:
            of_kind = found[kind]
            rows.append(wait_row("%s: %s" % (title, kind), of_kind["during"], of_kind["else"], most,
                                 absolute=found is expiry))
            if found is not expiry and is_missed(rows[-1]):
                why += why_waited(rows[-1][0], of_kind)
    return ("Who has to wait",
            "Each second %s, whatever becomes of them; ms from when each was due. Those that were "
            "under way meanwhile (for readings, half as long again, while the server works on what "
            "was read), beside those while nothing happened (else). Judged: how much longer the "
            "longest took than the p99 of these, not than their longest, which one outlier would "
            "make; for the end of leases, the longest itself. With %s peers, the third with %s.\n\n"
            % (" and ".join("%d %s" % (pace, kind) for kind, pace in large.PACE.items()),
               number(peers), number(expiry["leases"])) +
            table(("what happens", "requests", "p50", "p99", "longest", "else p99",
                   "else longest", "judged", "goal", ""), rows) + ("\n" + why if why else ""))


def start_section(peers, starts):
    rows = [goal("from exec() to the first answer, without the reading, s",
                 [s["rest"] for s in starts], at_most=1.0),
            ("with it", spread([s["seconds"] for s in starts]), "", ""),
            ("the reading alone", spread([s["reading"] for s in starts]), "", ""),
            *(("processor time of the %s until then" % role, spread([s[role] for s in starts]), "",
               "") for role in ("engine", "monitor"))]
    why = ("\nThe engine reads the journal while the device is read, if there is a processor for it. "
           "What comes after the reading is the monitor's own look through the journal, and the "
           "engine's through the reading: without both no address is given.\n"
           if is_missed(rows[0]) else "")
    return ("Start", "With %s peers and %s leased addresses in the journal and on the device.\n\n" %
            (number(peers), number(2 * peers)) + table(("", "s", "goal", ""), rows) + why)


def pool_section(found):
    first, last = ([statistics.median(one[key]) for one in found] for key in ("first", "last"))
    rows = [("first", spread(first), "", ""),
            ("last", spread(last), "", ""),
            ("the very last", spread([one["last"][-1] for one in found]), "", ""),
            goal("last to first", [b / a for a, b in zip(first, last)], at_most=1.1)]
    return ("The last address of a /16",
            "New leases of IPv4 addresses, us, one at a time: the last %d of a pool, after which it "
            "is full; and as many of another server, the first of such a pool after %d others, in "
            "turn with those in %d parts, without the first %d of each. Medians, and their spread "
            "over the rounds; no slower (the goal) counts up to 1.1 times.\n\n" %
            (pools.PARTS * pools.SAMPLE, pools.WARM, pools.PARTS, pools.SKIPPED) +
            table(("", "us, or ratio", "goal", ""), rows))


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
    last = [pools.last_address() for _ in range(options.rounds)]
    save("scale", {"start": start, "by peers": found, "instructions": counted, "expiry": expiry,
                   "last address": last})
    largest = found[sizes[-1]]
    return [memory_section(start, found), growth_section(found, counted),
            start_section(sizes[-1], largest["start"]),
            wait_section(sizes[-1], largest, expiry), pool_section(last)]
