#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""make soak: mixed load on both machines at once, two hours of it.

Taken from the environment: VENDOR, MINUTES (120; two rounds in any case, which take the Intel machine half an hour), DEBUG,
DEBUG_KERNEL (1, on the AMD machine: then failures are injected, too). Each round but the first tells the figures so far. Ends
with status 1 when a load failed, the kernel complained, or something was left behind.
"""
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

# pylint: disable=wrong-import-position
import check
import lab
import registry
import report
from machine import SLOW, LabError

FILES = ("fuzz/fuzz-ioctl", "fuzz/fuzz-guest", "fuzz/fuzz-storms", "fuzz/fuzz-failnth", "host/host-process", "host/host-memory",
         "migrate/vmrun-lib.sh", "migrate/pattern")
# A round that has begun is finished, and there are two.
LAST_ROUNDS = 3600
# Real minutes for one of the machine's own clock, under this load
PACE = {"amd": 1, "intel": 8}
MACHINE = {"amd": "append=numa=fake=2", "intel": "smp=2,append=numa=fake=2"}


def tests():
    vendors = [lab.setting("VENDOR")] if lab.setting("VENDOR") else ["amd"] if SLOW > 1 else list(MACHINE)
    if set(vendors) - set(MACHINE):
        raise LabError("VENDOR=%s: there are two machines, amd and intel" % vendors[0])
    if lab.setting("DEBUG_KERNEL", "0") not in ("0", "1", "kasan"):
        raise LabError("DEBUG_KERNEL=%s: the soak knows 1 only" % lab.setting("DEBUG_KERNEL"))
    minutes = lab.number("MINUTES", 120)
    for vendor in vendors:
        options = ",".join(["guest", "alone", MACHINE[vendor]] + ["also=../" + name for name in FILES])
        line = "soak %s %d %s ./soak %d" % (vendor, minutes * 60 + LAST_ROUNDS, options, minutes // PACE[vendor])
        yield from registry.parse_line(line, "soak", "soak.py")


def main():
    chosen = list(tests())
    began = time.monotonic()
    check.prepare(chosen)
    told = report.Report(chosen)
    check.work_off([[test] for test in chosen], told)
    return told.close(began)


if __name__ == "__main__":
    lab.guarded(main)
