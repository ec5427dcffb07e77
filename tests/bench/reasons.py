# SPDX-License-Identifier: MIT
"""
Why a goal of rates.py is missed: what the limit is, and where the time goes, from the figures of
the same run. results: by candidate and number at once, what load.c has found in each round, and
the processor time of each process.
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
    each, limit = (1e6 / median(results, of, c, "rate") for of in (name, "durable"))
    sync = 1e6 / median(results, "durable", 1, "rate") - 1e6 / median(results, "transport", 1,
                                                                     "rate")
    text = ("one is answered every %s us, at the limit every %s. Of processor time the engine "
            "takes %s us for it, the monitor %s; the limit's one process %s. " %
            tuple(number(us) for us in (each, limit, cpu(results, name, c, ENGINE),
                                        cpu(results, name, c, MONITOR),
                                        cpu(results, "durable", c))))
    if name == "new":
        text += ("Requests that are decided together share four changes of process, one after "
                 "another: from the engine to the monitor, to the device's process, and back by "
                 "the same way. They begin before the one fdatasync(), which takes %s us when "
                 "alone, and where a processor is free they go on meanwhile; what is left of them "
                 "then is waited for." % number(sync))
    else:
        text += ("It does not leave the engine, and waits for one fdatasync() (%s us when alone), "
                 "as at the limit: what is more is the engine's own work, or waiting for a "
                 "processor." % number(sync))
    return text


def server(results, best, times):
    need, transport, durable, new = (times * best, *(median(results, name, 64, "rate")
                                                     for name in ("transport", "durable", "new")))
    text = "%s times %s is %s a second. " % tuple(number(x) for x in (times, best, need))
    if need > transport:
        text += ("That is above what any server of one process can do here with a TCP connection a "
                 "request: the transport limit is %s. " % number(transport))
    elif need > durable:
        text += ("That is above what a server of one process can do here with each lease on the "
                 "disk before its answer: the durable limit is %s. " % number(durable))
    else:
        text += ("The durable limit is %s, so that is not out of reach: what is missing is our own "
                 "work, as by the processor time below. " % number(durable))
    return text + "Ours: %s, which is %.2f of the durable limit." % (number(new), new / durable)


def latency(results, name):
    figures = [number(median(results, of, 64, key)) for of in (name, "durable")
               for key in ("p50", "p99")]
    return ("p50 and p99 are %s and %s us, the limit's %s and %s. Who comes while others' leases "
            "are written waits for these, then for the next fdatasync()%s." %
            (*figures, " and its way to the device and back" if name == "new" else ""))


def instructions():
    (engine, of_engine), (monitor, of_monitor) = map(counting.largest, ("engine", "monitor"))
    return ("\nThe functions with most instructions of a new lease, 64 at once, without those that "
            "they call (`callgrind_annotate`; what a server without requests runs is taken off):"
            "\n\n" + table(("engine", "", "monitor", ""),
                           [*((*a, *b) for a, b in zip(engine, monitor)),
                            ("all", of_engine, "all", of_monitor)]))
