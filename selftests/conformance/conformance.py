#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""make conformance: KVM's own selftests, unmodified, on the stock modules and on vmm.ko, in the same emulated machines.

Taken from the environment: VENDOR, TESTS, SUITE (6.12, 6.1; both when empty), SIDE (kvm or vmm: runs that side only and
takes the other's last results). Ends with status 1 when a test that passes on the stock modules does not pass on vmm.ko,
or takes more than 1.5 times as long, and `expected` does not say why; and when the stock modules' result is missing, a test
did not run, or the kernel complained outside of one.
"""
import collections
import fnmatch
import os
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

# pylint: disable=wrong-import-position
import check
import lab
import registry
import results
from machine import CACHE, LabError, lab_kernel, say

SUITES, VENDORS = ("6.12", "6.1"), ("amd", "intel")


def choice(name, all_of):
    chosen = lab.setting(name)
    if chosen and chosen not in all_of:
        raise LabError("%s=%s: there are %s" % (name, chosen, " and ".join(all_of)))
    return [chosen] if chosen else list(all_of)


def read_suite():
    """[(family, judged, test)] of the list, each test for one vendor."""
    rows, family, judged = [], "", True
    path = HERE + "/suite"
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.strip()
            if line.startswith("["):
                family, _, mark = line[1:].partition("]")
                judged = mark.strip() != "-"
            elif line and not line.startswith("#"):
                rows += [(family, judged, test) for test in
                         registry.parse_line(line, "conformance", "%s:%d" % (path, number))]
    return rows


def find_unlisted(suite, rows):
    """Programs of the suite without a line are an error: they would be forgotten."""
    listed = {os.path.basename(name) for _, _, test in rows for name in test.files}
    unlisted = set(os.listdir("%s/conformance/%s/bin" % (CACHE, suite))) - listed
    if unlisted:
        raise LabError("%s/suite: there is no line for %s" % (HERE, " ".join(sorted(unlisted))))


class Tests:
    """The tests of one suite, vendor and side."""

    def __init__(self, suite, vendor, side, rows, globs):
        self.suite, self.vendor, self.side = suite, vendor, side
        self.store = results.Store(suite, vendor, side)
        self.homes = ["%s/conformance/%s/bin" % (CACHE, suite), HERE]
        self.rows = [row for row in rows if row[2].where == vendor and self.has(row[2])]
        self.chosen = [self.prepare(test) for _, _, test in self.rows
                       if any(fnmatch.fnmatchcase(test.name, g) for g in globs)]

    def has(self, test):
        return all(any(os.path.exists(os.path.join(home, name)) for home in self.homes) for name in test.files)

    def prepare(self, test):
        options = dict(test.options, **({"kvm": True} if self.side == "kvm" else {"params": "kvm_node=1"}))
        ours = registry.Test(test.name, test.where, test.seconds, options, "as-kvm " + test.command, "conformance")
        ours.files += test.files
        ours.homes = self.homes
        ours.tests = self
        return ours


class Collector:
    """Stands where check.py has its Report: stores results and tells each in a line."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.lock = threading.Lock()
        self.seen = set()
        self.unjudged = []      # what happened that is no test's result

    @staticmethod
    def judge(outcome):
        if outcome.status is None:
            return results.CRASH, outcome.trouble or "the machine died"
        if outcome.trouble:
            return results.FAIL, outcome.trouble
        if outcome.status in (124, 137):
            return results.TIMEOUT, "no end within %d s" % outcome.test.seconds
        if outcome.status == 4:
            return results.SKIP, last_line(outcome.text)
        if outcome.status:
            return results.FAIL, first_complaint(outcome.text) or "exit status %d" % outcome.status
        return results.PASS, ""

    def add(self, outcome):
        with self.lock:
            test = outcome.test
            self.seen.add(test)
            tests = getattr(test, "tests", None)
            verdict, why = self.judge(outcome)
            if not tests or outcome.not_run:
                self.unjudged.append("%s: %s" % (test.label(), why))
            else:
                seconds = round(outcome.cpu_seconds, 1)
                tests.store.put(self.kernel, test.name, {"verdict": verdict, "why": why, "seconds": seconds})
            where = "%s %s" % (tests.suite, tests.side) if tests else "lab"
            print("%-5s %-9s %-34s %-8s %6.1f s  %s" % (test.where, where, test.name, verdict, outcome.seconds, why), flush=True)
            self.keep(outcome, tests)

    @staticmethod
    def keep(outcome, tests):
        """All that was printed stays in the cache, beside the results."""
        if not tests:
            return
        path = "%s/conformance/logs/%s-%s-%s" % (CACHE, tests.suite, tests.vendor, tests.side)
        os.makedirs(path, exist_ok=True)
        with open("%s/%s" % (path, outcome.test.name), "w", encoding="utf-8") as f:
            f.write(outcome.text + ("\nconsole:\n" + outcome.console if outcome.console else ""))

    def progress(self, test, line):
        """Nobody waits for a line of a test."""

    def note(self, outcome, what):
        with self.lock:
            print("%s: %s; %s" % (outcome.test.label(), outcome.why, what), flush=True)

    def has(self, test):
        return test in self.seen


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def first_complaint(text):
    """What a KVM assertion says, its place and its words; or a harness's first "not ok"."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for at, line in enumerate(lines):
        if "Assertion Failure" in line:
            # Between the two stand the process, and the stack, for which the machine has no tool.
            place, words = lines[at + 1:at + 2], [other for other in lines[at + 2:] if not other.startswith(("pid=", "sh:"))]
            return ": ".join(place + words[:1])
        if line.startswith("not ok"):
            return line
    return ""


def read_groups(suites, vendors, globs):
    """{(suite, vendor): {side: Tests}}"""
    rows = read_suite()
    return {(suite, vendor): {side: Tests(suite, vendor, side, rows, globs) for side in results.SIDES}
            for suite in suites for vendor in vendors}


def table(groups):
    """[(family, suite, vendor, test, judged, kvm's result, vmm's)] of what both sides know, in the list's order."""
    rows = []
    for (suite, vendor), sides in groups.items():
        for family, judged, test in sides["kvm"].rows:
            kvm, vmm = (sides[side].store.results.get(test.name) for side in results.SIDES)
            if kvm or vmm:
                rows.append((family, suite, vendor, test.name, judged, kvm, vmm))
    return rows


def tell(rows, expected, chosen):
    """Prints the table and a summary by family; returns the lines that nobody has excused."""
    worse = []
    families = collections.OrderedDict()
    print("\n%-6s %-5s %-34s %-8s %-8s %7s %7s" % ("suite", "where", "test", "kvm", "vmm", "kvm s", "vmm s"))
    for family, suite, vendor, test, judged, kvm, vmm in rows:
        if test not in chosen:
            continue
        kind, text = results.compare((suite, vendor, test, judged, kvm, vmm), expected)
        none = {"verdict": "-", "seconds": 0}
        mark = "" if not kind else "  <-- %s" % text if kind == "worse" else "  (%s)" % text
        print("%-6s %-5s %-34s %-8s %-8s %7.1f %7.1f%s" % (
            suite, vendor, test, (kvm or none)["verdict"], (vmm or none)["verdict"], (kvm or none)["seconds"],
            (vmm or none)["seconds"], mark))
        count = families.setdefault((suite, vendor, family), collections.Counter())
        for side, result in (("kvm", kvm), ("vmm", vmm)):
            count[side, (result or none)["verdict"]] += 1
        if kind == "worse":
            worse.append("%s %s %s: %s" % (suite, vendor, test, text))
    print()
    for (suite, vendor, family), count in families.items():
        words = ["%s %s" % (side, " ".join("%d %s" % (n, verdict) for (s, verdict), n in sorted(count.items()) if s == side))
                 for side in results.SIDES]
        print("%-6s %-5s %-30s %s" % (suite, vendor, family, " | ".join(words)))
    return worse


def main():
    suites, vendors, sides = choice("SUITE", SUITES), choice("VENDOR", VENDORS), choice("SIDE", results.SIDES)
    began = time.monotonic()
    for suite in suites:
        if subprocess.run([HERE + "/build", suite], check=False).returncode:
            raise LabError("")
    lab.set_up("machine")
    lab.build("vmm" if "vmm" in sides else "none")
    globs = lab.setting("TESTS", "*").split()
    for suite in suites:
        find_unlisted(suite, read_suite())
    groups = read_groups(suites, vendors, globs)
    chosen = [test for group in groups.values() for side in sides for test in group[side].chosen]
    if not chosen:
        raise LabError("no test is called %s" % lab.setting("TESTS", "*"))
    collector = Collector(lab_kernel())
    check.work_off(plan(chosen), collector)
    expected = results.Expected(HERE + "/expected")
    worse = tell(table(groups), expected, {test.name for test in chosen})
    worse += collector.unjudged
    if len(groups) == len(SUITES) * len(VENDORS) and globs == ["*"]:
        worse += ["expected: nothing needs this line any more: " + line for line in expected.unused()]
    print("\n%d runs in %d s" % (len(chosen), time.monotonic() - began))
    for line in worse:
        print("not as kvm: " + line)
    return 1 if worse else 0


def plan(tests):
    """Batches that share a boot: check.py's rule, but no boot for two suites."""
    batches = {}
    for test in tests:
        batches.setdefault((test.tests.suite, test.tests.side, test.where, test.boot_key()), []).append(test)
    return sorted(batches.values(), key=lambda batch: -len(batch))


if __name__ == "__main__":
    lab.guarded(main)
