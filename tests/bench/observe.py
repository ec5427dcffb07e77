# SPDX-License-Identifier: MIT
"""What processes cost: instructions, system calls, memory."""

import os
import signal
import struct
import subprocess
import tempfile
import time

from world import Failure, die_with_us

PAGE = os.sysconf("SC_PAGE_SIZE")


def _attach(args, out, at=1, seconds=0.3):
    """A tool that watches processes that run; it gets some time to attach itself."""
    tool = subprocess.Popen([*args[:at], "-o", out, *args[at:]], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, preexec_fn=die_with_us,
                            start_new_session=True)
    time.sleep(seconds)
    if tool.poll() is not None:
        raise Failure("%s does not start" % " ".join(args))
    return tool


def counts_instructions():
    """Whether this machine has counters that perf can read; many virtual ones have none."""
    done = subprocess.run(["perf", "stat", "-x", ",", "-e", "instructions:u", "true"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode == 0 and done.stderr.split(",")[0].strip().isdigit()


def instructions(pids, work):
    """What work() returns, and the user instructions of each process meanwhile, by perf."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "perf")
        tool = _attach(["perf", "stat", "-x", ",", "--per-thread", "-e", "instructions:u",
                        "-p", ",".join(str(p) for p in pids)], out, at=2)
        try:
            result = work()
        finally:
            tool.send_signal(signal.SIGINT)
            tool.wait()
        counts = dict.fromkeys(pids, 0)
        with open(out, encoding="utf-8") as lines:
            for line in lines:
                field = line.split(",")
                if len(field) > 3 and field[3].startswith("instructions") and field[1].isdigit():
                    counts[int(field[0].rsplit("-", 1)[1])] = int(field[1])
    return result, counts


def cpu_seconds(pids):
    """Processor time so far, of each: all, and the user part, which the kernel samples."""
    times = []
    for pid in pids:
        with open("/proc/%d/schedstat" % pid, encoding="ascii") as line:
            whole = int(line.read().split()[0]) / 1e9
        with open("/proc/%d/stat" % pid, encoding="ascii") as line:
            user = int(line.read().rpartition(")")[2].split()[11]) / os.sysconf("SC_CLK_TCK")
        times.append((whole, user))
    return times


def processor_times():
    """Of the machine since its start: idle (waiting for the disk is), and all, in ticks."""
    with open("/proc/stat", encoding="ascii") as lines:
        times = [int(field) for field in lines.readline().split()[1:9]]
    return times[3] + times[4], sum(times)


def calls(pids, work):
    """What work() returns, and for each process how many system calls it made, by their names."""
    with tempfile.TemporaryDirectory() as folder:
        tools = []
        try:
            for pid in pids:
                tools.append(_attach(["strace", "-c", "-p", str(pid)],
                                     os.path.join(folder, str(pid))))
            result = work()
        finally:
            for tool in tools:
                tool.send_signal(signal.SIGINT)
                tool.wait()
        counts = {}
        for pid in pids:
            counts[pid] = {}
            with open(os.path.join(folder, str(pid)), encoding="utf-8") as lines:
                for line in lines:
                    field = line.split()
                    if len(field) >= 5 and field[3].isdigit() and field[-1] != "total":
                        counts[pid][field[-1]] = int(field[3])
    return result, counts


# ---- memory

def _fields(path):
    """In bytes."""
    fields = {}
    with open(path, encoding="ascii") as lines:
        for line in lines:
            word = line.split()
            if len(word) == 3 and word[2] == "kB":
                fields[word[0].rstrip(":")] = int(word[1]) * 1024
    return fields


def peak(pid):
    """The most that it has ever had resident, in bytes; 0 when it has ended."""
    try:
        return _fields("/proc/%d/status" % pid).get("VmHWM", 0)
    except OSError:
        return 0


def _frames(pid, skip):
    """The page frames that are resident, of all mappings but those whose line has skip in it."""
    frames = set()
    with open("/proc/%d/maps" % pid, encoding="ascii") as maps, \
            open("/proc/%d/pagemap" % pid, "rb") as pagemap:
        for line in maps:
            start, end = (int(x, 16) for x in line.split()[0].split("-"))
            if (skip and skip in line) or end > 1 << 63:
                continue
            pagemap.seek(start // PAGE * 8)
            data = pagemap.read((end - start) // PAGE * 8)
            for (entry,) in struct.iter_unpack("=Q", data):
                if entry >> 63:
                    frames.add(entry & (1 << 55) - 1)
    return frames


def memory(pids, apart="wg-dynamic device"):
    """
    Of these processes: the sums of what each has resident (rss), of what no file is behind (anon)
    and of its share (pss), and all pages that any of them has, each counted once (pages); without
    the mapping called apart, whose resident bytes are there by themselves.
    """
    sums = {"rss": 0, "anon": 0, "pss": 0}
    frames, all_frames = set(), set()
    for pid in pids:
        # Not those of its status, which the kernel counts for each processor, and adds up late.
        rollup = _fields("/proc/%d/smaps_rollup" % pid)
        for key, field in (("rss", "Rss"), ("anon", "Anonymous"), ("pss", "Pss")):
            sums[key] += rollup[field]
        frames |= _frames(pid, apart)
        all_frames |= _frames(pid, None)
    frames.discard(0)
    all_frames.discard(0)
    sums["pages"] = len(frames) * PAGE
    sums["reading"] = (len(all_frames) - len(frames)) * PAGE
    return sums
