# SPDX-License-Identifier: MIT
"""Figures as text: tables in Markdown, raw values in JSON, a plot by gnuplot."""

import json
import os
import shutil
import statistics
import subprocess

from world import TOOLS


def save(name, data):
    with open(os.path.join(TOOLS, name + ".json"), "w", encoding="utf-8") as out:
        json.dump(data, out, indent=1)
        out.write("\n")


def number(value):
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 100:
        return format(round(value), ",")
    return "%.2f" % value if abs(value) < 10 else "%.1f" % value


def spread(values):
    """Median, least and most."""
    if len(values) == 1:
        return number(values[0])
    return "%s (%s to %s)" % (number(statistics.median(values)), number(min(values)),
                              number(max(values)))


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| %s |\n" % " | ".join(number(cell) for cell in line) for line in lines)


def verdict(reached):
    return "reached" if reached else "**missed**"


def is_missed(row):
    return row[-1] == verdict(False)


def goal(name, values, at_least=None, at_most=None, unit=""):
    """A row: figure, its spread, the goal, and whether the median reaches it."""
    median = statistics.median(values)
    if at_least is not None:
        return (name, spread(values) + unit, "at least %s%s" % (number(at_least), unit),
                verdict(median >= at_least))
    return (name, spread(values) + unit, "at most %s%s" % (number(at_most), unit),
            verdict(median <= at_most))


def plot(name, title, unit, labels, values):
    """Bars of medians with their spread; values: a list for each label. Without gnuplot, none."""
    if not shutil.which("gnuplot"):
        return ""
    rows = "\n".join('"%s" %g %g %g' % (label, statistics.median(v), min(v), max(v))
                     for label, v in zip(labels, values))
    script = """
        set terminal pngcairo size 1100,520 font ",10"
        set output "%s"
        set title "%s"
        set ylabel "%s"
        set style fill solid 0.6
        set boxwidth 0.7
        set yrange [0:*]
        set grid ytics
        set xtics rotate by -30
        unset key
        $rows << EOD\n%s\nEOD
        plot $rows using 0:2:xtic(1) with boxes lc rgb "#4477aa", \
             $rows using 0:2:3:4 with yerrorbars lc rgb "black" pt 0
    """ % (os.path.join(TOOLS, name + ".png"), title, unit, rows)
    done = subprocess.run(["gnuplot"], input=script, text=True, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        return "(gnuplot failed: %s)\n" % done.stderr.strip()
    return "![%s](%s.png)\n" % (title, name)
