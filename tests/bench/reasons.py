# SPDX-License-Identifier: MIT
"""
Why a goal of rates.py is missed: what the limit is, and where the time goes, from the figures of
the same run. results: by candidate and number at once, what load.c has found in each round, and
the processor time of each process. What is called the limit is the durable one, without room.
"""

import statistics

import counting
from report import number, table

MONITOR, ENGINE = counting.ROLES.index("monitor"), counting.ROLES.index("engine")


def median(results, name, c, key):
    return statistics.median(result[key] for result in results[name][c])


def cpu(results, name, c, process=0):
    """Of a request, in us."""
    return statistics.median(result["cpu"][process][0] for result in results[name][c])


def lease(results, name, c):
    each = 1e6 / median(results, name, c, "rate")
    limit = 1e6 / statistics.median(result["limits"]["durable"] for result in results[name][c])
    sync = 1e6 / median(results, "durable", 1, "rate") - 1e6 / median(results, "transport", 1,
                                                                     "rate")
    ours, theirs = cpu(results, name, c, ENGINE), cpu(results, "durable", c)
    text = ("one is answered every %s us, at the limit every %s. Of that the engine works for %s "
            "and waits for %s us; the limit's process works for %s and waits for %s. The monitor "
            "works for %s us. With load generator, its start, device and disk, %.0f %% of the "
            "machine's processors were left (at the limit %.0f). " %
            (*(number(us) for us in (each, limit, ours, each - ours, theirs, limit - theirs,
                                     cpu(results, name, c, MONITOR))),
             *(100 * median(results, of, c, "idle") for of in (name, "durable"))))
    if name == "few":
        text += ("Here the device is read for decisions, for which up to a twentieth of the time "
                 "is meant; who asks waits for that, and with %d at once all do. " % c)
    if name in ("new", "few"):
        text += ("Requests that are decided together share four changes of process, one after "
                 "another: from the engine to the monitor, to the device's process, and back by "
                 "the same way. That is done while the engine waits for one fdatasync() (at the "
                 "limit %s us, when alone), mostly on its processor, so that it goes on later; "
                 "and who comes meanwhile is decided after that." % number(sync))
    else:
        if name == "few renewals":
            text += ("Here the first wait for a reading of the device, which then is good for a "
                     "second; a burst that is over sooner has more than its part of that. ")
        text += ("A renewal does not leave the engine, and waits for one fdatasync() (at the limit "
                 "%s us, when alone): what is more is the engine's own work, or waiting for a "
                 "processor." % number(sync))
    return text


def server(results, bests, times):
    """By the figures of the round whose ratio is the median."""
    ratios = [a["rate"] / b for a, b in zip(results["new"][64], bests)]
    i = ratios.index(statistics.median_low(ratios))
    new, transport, durable, room = (results[name][64][i]["rate"]
                                     for name in ("new", "transport", "durable", "room"))
    best, need, on_disk = bests[i], times * bests[i], max(durable, room)
    # The durable ones answer many together, which may be more than the other does, one by one.
    most = max(transport, on_disk)
    text = "in that round, %s times %s is %s a second. " % tuple(
        number(x) for x in (times, best, need))
    if need > most:
        text += ("That is above what the limits do here, which are servers of one process with a "
                 "TCP connection a request: %s at most. " % number(most))
    elif need > on_disk:
        text += ("That is above what a server of one process does here with each lease on the "
                 "disk before its answer: the durable limit is %s, and %s with room. " %
                 (number(durable), number(room)))
    else:
        text += ("The durable limit is %s, and %s with room, so that is not out of reach: what is "
                 "missing is our own work, as by the processor time below. " %
                 (number(durable), number(room)))
    return text + "Ours: %s, which is %.2f of the durable limit." % (number(new), new / durable)


def latency(results, name):
    figures = [number(median(results, of, 64, key)) for of in (name, "durable")
               for key in ("p50", "p99")]
    mean, limit = (median(results, of, 64, "mean") for of in (name, "durable"))
    return ("p50 and p99 are %s and %s us, the limit's %s and %s. With 64 open at any time each "
            "waits for 64 others, which by the rates alone makes %s us on the average, and %s at "
            "the limit: p99 is %.1f times that, and %.1f. What is more than the limit's is that "
            "who comes while others' leases are written waits for these, then for the next "
            "fdatasync()%s." %
            (*figures, number(mean), number(limit),
             median(results, name, 64, "p99") / mean, median(results, "durable", 64, "p99") / limit,
             " and its way to the device and back" if name == "new" else ""))


# What a request is made of: process, function with all that it calls, and what that does.
PARTS = (
    ("engine", "request_decode", "the request is read"),
    ("engine", "decide", "addresses are chosen, and nobody else has them"),
    ("engine", "store_lease", "the record for the journal, with its checksum"),
    ("engine", "leases_set", "the tables of leases"),
    ("engine", "leases_expire_at", "when it ends"),
    ("engine", "changes_note", "what was changed since the last reading"),
    ("engine", "response_encode", "the answer"),
    ("monitor", "guard_allow", "the order is judged again, by the process that may carry it out"),
    ("monitor", "device_allow", "the request to the device"),
    ("monitor", "changes_note", "what was changed since the last reading"),
    ("monitor", "report", "the line of the log"),
)


def instructions(missed):
    """missed: the pairs of kind and number at once."""
    kinds = {"new": "new leases", "renewals": "renewals"}
    columns, largest = [], []
    for kind, c in missed:
        column, whole = [], 0
        for role in ("engine", "monitor"):
            alone = counting.of_one(kind, c, role)
            found = counting.of_one(kind, c, role, inclusive=True)
            parts = [found.get(name, 0) for of, name, _ in PARTS if of == role]
            column += [*parts, sum(alone.values()) - sum(parts)]
            whole += sum(alone.values())
            largest += [(times / whole, name) for name, times in alone.items()]
        columns.append([*column, whole])
    what = [(role, *part) for role in ("engine", "monitor") for part in
            (*((what, name + "()") for of, name, what in PARTS if of == role),
             ("connections, messages, memory, and all else", ""))]
    share, name = max(largest)
    return ("\nWhere they go, of one request (`callgrind_annotate --inclusive=yes`; what a server "
            "without these requests runs is taken off). The function with most instructions of its "
            "own is %s(), which has %.0f %% of all.\n\n" % (name, 100 * share) +
            table(("process", "what", "", *("%s, %d at once" % (kinds[kind], c)
                                            for kind, c in missed)),
                  zip(*zip(*[*what, ("both", "all", "")]), *columns)))
