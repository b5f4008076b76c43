# SPDX-License-Identifier: GPL-2.0-only
"""KTAP: reading what tests print, printing what became of them."""
import re
import sys
import threading
import time

RESULT = re.compile(r"^\s*(not )?ok\b[ \t]*(\d*)[ \t]*-?[ \t]*([^#]*)(#.*)?$")
PLAN = re.compile(r"^1\.\.(\d+)")
GIVES_UP = re.compile(r"^\s*Bail out!", re.M)
SKIP_STATUS, TIMEOUT_STATUS = 4, 124
# Who waits for a test with a time limit of more than these seconds is told how far it is.
LONG = 1000


class Outcome:
    """What became of one test program, worked out from its exit status, its output and the kernel's console."""

    def __init__(self, test, status, text, seconds, trouble=None, console=""):
        self.test, self.text, self.seconds, self.console = test, text, seconds, console
        self.status, self.trouble = status, trouble
        self.cpu_seconds = 0        # of the emulator
        self.passed = self.failed = self.skipped = 0
        self.not_run = False
        plans = []
        for line in text.splitlines():
            match = RESULT.match(line)
            if match:
                self.count(match)
            plans += [int(number) for number in PLAN.findall(line)]
        # A program that runs others has several plans, and they are for those others to keep.
        self.missing = max(0, plans[0] - self.passed - self.failed - self.skipped) if len(plans) == 1 else 0
        self.gave_up = bool(GIVES_UP.search(text))
        self.why = self.judge(status, trouble)
        if self.passed + self.failed + self.skipped == 0:
            self.skipped += status == SKIP_STATUS
            self.passed += status == 0

    def count(self, match):
        if match.group(1):
            self.failed += 1
        elif "SKIP" in (match.group(4) or "").upper():
            self.skipped += 1
        else:
            self.passed += 1

    def judge(self, status, trouble):
        """Why the program as a whole failed, or None. What no line of its own tells is one more failure."""
        if trouble:
            why = trouble
        elif status is None:
            why = "the machine died"
        elif status in (TIMEOUT_STATUS, 137):
            why = "no end within %d s" % self.test.seconds
        elif self.gave_up:
            why = "it gave up"
        elif status == 0 and self.missing:
            why = "%d of its results are missing" % self.missing
        elif status in (0, SKIP_STATUS):
            return "a part of it failed" if self.failed else None
        else:
            why = "exit status %d" % status
            if self.failed:
                return why
        self.failed += 1
        return why

    def verdict(self):
        if self.why:
            return "not ok"
        return "ok"


class Report:
    """Prints outcomes as they come, from any thread, and keeps count."""

    def __init__(self, tests):
        self.lock = threading.Lock()
        self.tests, self.number = tests, 0
        self.passed = self.failed = self.skipped = 0
        self.losers = []
        self.seen = set()
        print("KTAP version 1\n1..%d" % len(tests), flush=True)

    def add(self, outcome):
        with self.lock:
            self.number += 1
            self.seen.add(outcome.test)
            self.passed += outcome.passed
            self.failed += outcome.failed
            self.skipped += outcome.skipped
            label = outcome.test.label()
            print("# %s (%d s)" % (label, outcome.seconds))
            for line in outcome.text.splitlines():
                if line.strip():
                    print("    " + line)
            if outcome.why:
                self.losers.append("%s: %s" % (label, outcome.why))
                print("# %s: %s" % (label, outcome.why))
                for line in outcome.console.splitlines():
                    print("#   console: " + line)
            skipped = " # SKIP" if outcome.skipped and not outcome.passed and not outcome.why else ""
            print("%s %d %s%s" % (outcome.verdict(), self.number, label, skipped), flush=True)

    def progress(self, test, line):
        """A line of a test that is still running: its comments are shown at once if it is a long one."""
        if test and test.seconds > LONG and line.startswith(b"# "):
            with self.lock:
                print("# %s: %s" % (test.label(), line[2:].decode(errors="replace")), flush=True)

    def note(self, outcome, what):
        """An outcome that does not count."""
        with self.lock:
            print("# %s (%d s): %s; %s" % (outcome.test.label(), outcome.seconds, outcome.why, what))
            for line in outcome.text.splitlines():
                if line.strip():
                    print("#     " + line)
            sys.stdout.flush()

    def has(self, test):
        return test in self.seen

    def close(self, began):
        for line in self.losers:
            print("# failed: " + line)
        lost = sum(not self.has(test) for test in self.tests)
        if lost:
            print("# failed: of %d test programs nothing was heard" % lost)
            self.failed += lost
        print("# %d test programs in %d s" % (self.number, time.monotonic() - began))
        print("%d passed, %d failed, %d skipped" % (self.passed, self.failed, self.skipped))
        sys.stdout.flush()
        return 1 if self.failed or not self.number else 0
