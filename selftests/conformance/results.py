# SPDX-License-Identifier: GPL-2.0-only
"""What became of KVM's selftests, kept in the cache from run to run, and what that says about vmm.ko.

A result is {"verdict", "seconds", "why"}; seconds are processor time of the emulator, the same on a busy machine. They are
stored by (suite, vendor, side): suite 6.12 or 6.1, side kvm (the stock modules) or vmm.
"""
import fnmatch
import json
import os
import threading

from machine import CACHE

PASS, FAIL, SKIP, TIMEOUT, CRASH = "pass", "fail", "skip", "timeout", "crash"
SIDES = ("kvm", "vmm")
# A test may take this much longer on vmm; below so many seconds, starting processes is all that is measured.
SLOWER, FLOOR_SECONDS = 1.5, 5


class Store:
    """One file for each (suite, vendor, side)."""

    def __init__(self, suite, vendor, side):
        self.path = "%s/conformance/results/%s-%s-%s.json" % (CACHE, suite, vendor, side)
        self.lock = threading.Lock()
        self.data = {"kernel": "", "results": {}}
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as f:
                self.data = json.load(f)
        self.results = self.data["results"]

    def put(self, kernel, test, result):
        with self.lock:
            self.data["kernel"] = kernel
            self.results[test] = result
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            with open(self.path + ".new", "w", encoding="utf-8") as f:
                json.dump(self.data, f, indent=1, sort_keys=True)
            os.replace(self.path + ".new", self.path)


class Expected:
    """The list of differences that are known, each with its reason: lines of

        KIND SUITE VENDOR TEST REASON...

    KIND is "fails" or "slow"; SUITE, VENDOR and TEST are patterns."""

    def __init__(self, path):
        self.lines = []
        with open(path, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                if not line.strip() or line.startswith("#"):
                    continue
                words = line.split(None, 4)
                if len(words) < 5 or words[0] not in ("fails", "slow"):
                    raise ValueError("%s:%d: want fails|slow SUITE VENDOR TEST REASON" % (path, number))
                self.lines.append([*words[:4], words[4].strip(), False])

    def reason(self, kind, *which):
        for line in self.lines:
            if line[0] == kind and all(fnmatch.fnmatchcase(have, want) for have, want in zip(which, line[1:4])):
                line[5] = True
                return line[4]
        return None

    def unused(self):
        return [" ".join(line[:4]) for line in self.lines if not line[5]]


def compare(row, expected):
    """(kind, text) of how vmm's result differs to the worse from kvm's: "" when it does not; "known" with the reason, or
    "worse" when nobody has excused it. row: (suite, vendor, test, judged, kvm's result, vmm's)."""
    suite, vendor, test, judged, kvm, vmm = row
    if judged and not kvm:
        return "worse", "the stock modules' result is missing"
    if not (judged and vmm) or kvm["verdict"] != PASS:
        return "", ""
    if vmm["verdict"] != PASS:
        reason = expected.reason("fails", suite, vendor, test)
        return ("known", reason) if reason else ("worse", vmm["why"] or vmm["verdict"])
    if vmm["seconds"] > max(FLOOR_SECONDS, kvm["seconds"] * SLOWER):
        reason = expected.reason("slow", suite, vendor, test)
        return ("known", reason) if reason else ("worse", "%.1f times as long" % (vmm["seconds"] / kvm["seconds"]))
    return "", ""
