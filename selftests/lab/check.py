#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""make check: all tests, on both emulated machines, two boots side by side.

Host tests come first. Then the machines, one boot for all tests that can share one; a test that takes
the machine down costs that test and one more boot. Taken from the environment: VENDOR TESTS VMM_TESTS (another
directory in place of selftests/) FULL (the long tests, too) DEBUG (all on the debug build of the module) DEBUG_KERNEL (1,
kasan, kcsan, preempt: in the machines, on such a kernel).
"""
import collections
import contextlib
import fnmatch
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import lab
import registry
from machine import LAB, SLOW, STALL, TOP, LabError, Machine, say
from report import Outcome, Report

BOOT_SECONDS = 240 * SLOW
# On top of twice a test's own limit, before a machine counts as hanging
GRACE = int(os.environ.get("LAB_GRACE") or 60)
# QEMU's own assertion in its SVM, which stock KVM's tests hit as well
EMULATOR_FAULT = "bql_locked"
HANGS, DOWN = "the machine hangs", "the machine did not come up"


def batch_files(tests, root):
    """(source, name below /lab) of every file that these tests need, built ones first."""
    for test in tests:
        for name in test.files:
            for base in test.homes or (TOP + "/selftests/build/" + test.directory, os.path.join(root, test.directory)):
                path = os.path.normpath(os.path.join(base, name))
                if os.path.isfile(path):
                    yield path, "tests/%s/%s" % (test.directory, name)
                    break
            else:
                if name != test.command.split()[0]:
                    raise LabError("%s: there is no file %s" % (test.label(), name))


class Boot:
    """One boot that runs a list of tests, until the list or the machine ends."""

    def __init__(self, tests, report):
        self.tests, self.report = tests, report
        self.first = tests[0]
        self.done = []
        self.current = None
        self.output = b""
        self.rest = b""
        self.trouble = {}
        self.blamed = set()
        self.retries = False
        self.cpu_since = 0
        self.said = 0

    def run(self):
        first, options = self.first, self.first.options
        module = "kvm" if "kvm" in options else "none" if "none" in options else "vmm"
        root = os.environ.get("VMM_TESTS") or TOP + "/selftests"
        files = list(batch_files(self.tests, root)) + [(LAB + "/batch", "batch")]
        stage = lab.make_stage(first.where, module, "batch", "exec bash /lab/batch", files, options.get("params", ""),
                               "debug" in options)
        box = None
        try:
            with open(stage + "/batch.list", "w", encoding="utf-8") as f:
                for test in self.tests:
                    os.makedirs("%s/tests/%s" % (stage, test.directory), exist_ok=True)
                    f.write("%s %d %s %s\n" % (test.name, test.seconds, test.directory, test.command))
            box = Machine(first.where, stage, smp=int(options.get("smp", 1)), mem=int(options.get("mem", 0)),
                          guest=options.get("guest"), cpu=options.get("model"), append=options.get("append", ""),
                          virt="virt" in options, cr8="cr8" in options)
            box.start()
            self.follow(box)
        finally:
            if box:
                box.stop()
            shutil.rmtree(stage, ignore_errors=True)

    def follow(self, box):
        self.since = time.monotonic()
        limit = BOOT_SECONDS
        alive = True
        try:
            while alive:
                data, _, alive = box.poll(0.2)
                self.feed(data, box)
                if self.current:
                    # Its own limit ends a test inside; this one is for a machine that no longer runs.
                    limit = self.current.seconds * 2 + GRACE
                if time.monotonic() - self.since > limit:
                    self.trouble.setdefault(self.current and self.current.name, HANGS)
                    break
            self.feed(box.drain(), box)
            if self.current or not self.done:
                self.finish(box, None)
            elif box.status is None and not self.trouble and EMULATOR_FAULT not in box.last_words():
                self.trouble[self.done[-1].name] = "the machine died"
        finally:
            self.find_strays(box)

    def find_strays(self, box):
        """Trouble that no test was blamed for: while the module was loaded, or after the test before it had ended."""
        for name, line in self.trouble.items():
            if name in self.blamed:
                continue
            stray = registry.Test("lab-console", self.first.where, 0, {}, "after %s" % (name or "the start"), "lab")
            outcome = Outcome(stray, 0, "", time.monotonic() - self.since, "%s (after %s)" % (line, name or "the start"))
            outcome.console = box.last_words()
            self.report.add(outcome)

    def feed(self, data, box):
        self.rest += data.replace(b"\r", b"")
        *lines, self.rest = self.rest.split(b"\n")
        for line in lines:
            at = line.find(b"\x1e")
            if at < 0:
                self.output += line + b"\n"
                self.report.progress(self.current, line)
                continue
            self.output += line[:at]
            word, name, *status = line[at + 1:].decode(errors="replace").split()
            if word == "start":
                self.current = self.next()
                self.output = b""
                self.since, self.cpu_since = time.monotonic(), box.cpu_seconds()
            elif self.current and name == self.current.name:
                box.read_console()
                self.finish(box, int(status[0]))
        self.watch(box)

    def next(self):
        return self.tests[len(self.done)] if len(self.done) < len(self.tests) else None

    def watch(self, box):
        """Gives each line of trouble to the test that the console named last before it."""
        for at in range(self.said, len(box.console)):
            line = box.console[at]
            if b"lab-test: " in line:
                box.test_now = line.split(b"lab-test: ")[1].decode().strip()
            elif box.is_trouble(at):
                test_now = getattr(box, "test_now", None)
                # The first line tells the most, unless it may be the emulator's.
                if STALL.search(self.trouble.get(test_now, "").encode()):
                    del self.trouble[test_now]
                self.trouble.setdefault(test_now, line.decode(errors="replace"))
        self.said = len(box.console)

    def finish(self, box, status):
        self.watch(box)
        test = self.current or self.next()
        trouble = self.trouble.pop(test.name, None) or (status is None and self.trouble.pop(None, None))
        if status is None and not self.current and not trouble:
            trouble = DOWN
        text = (self.output + self.rest).decode(errors="replace") if status is None else self.output.decode(errors="replace")
        seconds, cpu_seconds = time.monotonic() - self.since, box.cpu_seconds() - self.cpu_since
        words = box.last_words()
        if trouble:
            self.blamed.add(test.name)
        reported = trouble and trouble not in (HANGS, DOWN) and not STALL.search(trouble.encode())
        if status is None and not getattr(test, "again", False):
            self.excuse(test, box, words, reported)
        outcome = Outcome(test, status, text.replace("\0", ""), seconds, trouble or None)
        outcome.cpu_seconds = cpu_seconds
        if outcome.why and test.tries > 1 and not reported:
            test.tries -= 1
            self.report.note(outcome, "it is tried again: see its directory's tests file")
            self.retries = True
            raise Again(self.done)
        if outcome.why:
            outcome.console = words
        self.report.add(outcome)
        self.done.append(test)
        self.current, self.output, self.since = None, b"", time.monotonic()

    def excuse(self, test, box, words, reported):
        """What cannot have been a module's doing, nor a test's, is tried once more."""
        if EMULATOR_FAULT in words and not reported:
            why = "QEMU itself aborted"
        elif not any(b"lab-load: " in line for line in box.console):
            why = "the emulated machine's kernel did not come up as far as the loading of a module"
        else:
            return
        say("%s: %s; trying it once more" % (test.label(), why))
        test.again = True
        raise Again(self.done)


class Again(Exception):
    pass


# Host tests that run. Ctrl-C reaches neither another session nor a worker's thread.
SESSIONS = set()


def kill_session(process, sign):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, sign)


def end_session(process):
    """All that a test has started, which may hold locks and places of emulators. What it said so far."""
    said = b""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        kill_session(process, sign)
        try:
            return process.communicate(timeout=10)[0]
        except subprocess.TimeoutExpired as late:
            said = late.output or said
    return said


def run_host_test(test, report):
    began = time.monotonic()
    # MAKEFLAGS: what our make was given (TESTS=…) would override variables of the makes that tests run
    env = dict(os.environ, MAKEFLAGS="", VENDOR="", TESTS="", CMD="", KVM="", LAB=LAB, TOP=TOP)
    process = subprocess.Popen(["bash", "-c", test.command], cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, env=env, start_new_session=True)
    SESSIONS.add(process)
    try:
        text, _ = process.communicate(timeout=test.seconds)
        status = process.returncode
    except subprocess.TimeoutExpired:
        status, text = 124, end_session(process)
    SESSIONS.discard(process)
    report.add(Outcome(test, status, text.decode(errors="replace"), time.monotonic() - began))


def run_batch(tests, report):
    """Boots as often as needed to get through these tests."""
    left = list(tests)
    fruitless = 0
    while left:
        boot = Boot(left, report)
        try:
            boot.run()
        except Again:
            pass
        # Tests that may be tried again count their tries themselves.
        fruitless = 0 if boot.done or boot.retries else fruitless + 1
        left = left[len(boot.done):]
        if fruitless > 3:
            raise LabError("the machine does not come up")


def plan(tests):
    """What can be done side by side: each host test that boots a machine, and each batch that shares a boot. The longest
    come first, so that no long one is left for the end."""
    batches = {}
    for test in tests:
        key = test.name if test.where == "host" else (test.where, test.boot_key())
        batches.setdefault(key, []).append(test)
    return sorted(batches.values(), key=lambda batch: -sum(test.seconds for test in batch))


def work(batches, report):
    """One of the two workers: there is room for two emulators."""
    while True:
        try:
            batch = batches.popleft()
        except IndexError:
            return
        try:
            if batch[0].where == "host":
                run_host_test(batch[0], report)
            else:
                run_batch(batch, report)
        except Exception as error:      # pylint: disable=broad-except
            for test in batch:
                if not report.has(test):
                    outcome = Outcome(test, None, "", 0, "not run: %s: %s" % (type(error).__name__, error))
                    outcome.not_run = True
                    report.add(outcome)


def work_off(batches, report):
    """All of them, two at a time."""
    queue = collections.deque(batches)
    workers = [threading.Thread(target=work, args=(queue, report), daemon=True) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def prepare(tests):
    machines = [test for test in tests if test.where != "host" or "machine" in test.options]
    if not machines:
        lab.set_up("tree", "trixie")
        return
    lab.set_up(*lab.images({test.options.get("guest") for test in tests}, any("virt" in test.options for test in tests)))
    if any("cr8" in test.options for test in tests):
        lab.set_up("emulator", "qemu")
    needs_vmm = any(not test.options.get("kvm") and test.where != "host" for test in tests)
    lab.build("vmm" if needs_vmm else "none")
    if any("debug" in test.options for test in tests):
        lab.build_module(debug=True)
    if os.path.exists(TOP + "/selftests/Makefile"):
        # What does not build fails when its turn comes: the rest is still worth running.
        try:
            lab.run_quietly([LAB + "/build-userspace", "selftests", "-k", "all"], "some test programs do not build")
        except LabError as error:
            say(str(error))


def main():
    # A debug kernel is for the machine that is fast enough, unless the other one is asked for.
    vendors = [lab.setting("VENDOR")] if lab.setting("VENDOR") else ["amd", "intel"] if SLOW == 1 else ["amd"]
    if set(vendors) - {"amd", "intel"}:
        raise LabError("VENDOR=%s: there are two machines, amd and intel" % vendors[0])
    globs = lab.setting("TESTS", "*").split()
    tests = registry.read_all(TOP, globs, vendors, lab.setting("FULL", "0") != "0")
    if SLOW > 1:
        tests = [test for test in tests if test.where != "host"]
    for glob in globs:
        if not any(fnmatch.fnmatchcase(test.name, glob) for test in tests):
            raise LabError("no test is called %s" % glob)
    began = time.monotonic()
    prepare(tests)
    report = Report(tests)
    for test in tests:
        if test.where == "host" and "machine" not in test.options:
            run_host_test(test, report)
    machines = [test for test in tests if test.where != "host" or "machine" in test.options]
    work_off(plan([test for test in machines if "pair" not in test.options]), report)
    for test in machines:
        if "pair" in test.options:
            run_host_test(test, report)
    return report.close(began)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as problem:
        say(str(problem))
        print("0 passed, 1 failed, 0 skipped")
        sys.exit(1)
    except KeyboardInterrupt:
        for session in list(SESSIONS):
            kill_session(session, signal.SIGTERM)
        sys.exit(130)
