# SPDX-License-Identifier: GPL-2.0-only
"""Which tests there are.

Every directory selftests/*/ may hold a file "tests" with lines of

    NAME  WHERE  SECONDS  OPTIONS  COMMAND...

NAME     begins with its group: first-boot, mm-swap
WHERE    amd, intel or amd,intel: inside that machine; host: on this one (from the top of the checkout)
SECONDS  its time limit (longer with DEBUG_KERNEL=)
OPTIONS  "-" or, separated by commas:
           smp=N mem=MB model=NAME append=WORD   of the emulated machine (each combination is a boot of its own;
                      append= may stand several times)
           guest      the Debian guest image is mounted on /guest; guest=NAME: another of guest/make-image
           virt       the machine has libvirt, QEMU's tools and firmware; with guest, on amd, /dev/vdc is a disk that
                      firmware boots that guest from
           full       only for make check-full
           kvm        the stock modules instead of ours; /dev/kvm
           none       no module loaded: the test does it (/lab/vmm.ko)
           params=A=B parameters for vmm.ko
           debug      the debug build of vmm.ko: see Kbuild
           cr8        (amd) its guests write CR8, as UEFI does: QEMU as Debian has it aborts then, emulators/qemu.patch
           alone      a boot of its own
           tries=N    so often at most, for what an emulator is known to break under the stock modules as well; not when
                      the kernel reported anything but a stall
           machine=amd|intel   (host tests) it boots that machine itself, so it takes its turn with its tests
           pair       (host tests with machine=) it boots two at a time, so its turn is when no others run
           also=FILE  another file of the test's directory (or build directory) that it needs beside it
COMMAND  run in the test's directory, which holds the program, built or as it stands in the checkout

Programs come from selftests/DIR/Makefile: "make OUT=... all" puts them into selftests/build/DIR. A program DIR-*.c that
no line names runs on both machines for up to 120 s.
A test passes with exit status 0, all the results that it planned ("1..N") and without a "not ok" or "Bail out!" line, and is
skipped with 4 (as kselftests are).
"""
import fnmatch
import glob
import os

from machine import SLOW, LabError

MACHINE_KEYS = ("smp", "mem", "model", "append", "params")
FLAGS = ("guest", "kvm", "none", "alone", "virt", "debug", "cr8")


class Test:
    def __init__(self, name, where, seconds, options, command, directory):
        self.name, self.where, self.seconds, self.directory = name, where, seconds, directory
        self.options, self.command = options, command
        self.files = [command.split()[0]] if where != "host" else []
        self.files += options.get("also", [])
        self.tries = int(options.get("tries", 1))
        self.homes = []         # where its files are, if not in the checkout

    def label(self):
        return self.name if self.where == "host" else "%s@%s" % (self.name, self.where)

    def boot_key(self):
        """Tests with equal keys can share one boot."""
        keys = [self.options.get(key, "") for key in MACHINE_KEYS] + [self.options.get(flag, False) for flag in FLAGS]
        return tuple(keys + ([self.name] if "alone" in self.options else []))


def parse_options(text, where):
    options = {}
    for word in ([] if text == "-" else text.split(",")):
        key, _, value = word.partition("=")
        if key in FLAGS + ("full", "pair") and not value:
            options[key] = True
        elif key == "also" and value:
            options.setdefault(key, []).append(value)
        elif key == "append" and value:
            options[key] = (options.get(key, "") + " " + value).lstrip()
        elif (key in MACHINE_KEYS or key in ("machine", "tries", "guest")) and value:
            options[key] = value
        else:
            raise LabError("%s: unknown option %s" % (where, word))
    return options


def parse_line(line, directory, where):
    words = line.split(None, 4)
    if len(words) < 5 or not words[2].isdigit():
        raise LabError("%s: want NAME WHERE SECONDS OPTIONS COMMAND" % where)
    name, places, seconds, options, command = words
    for place in places.split(","):
        if place not in ("amd", "intel", "host"):
            raise LabError("%s: no such place: %s" % (where, place))
        yield Test(name, place, int(seconds) * SLOW, parse_options(options, where), command, directory)


def read_directory(path):
    directory = os.path.basename(path)
    tests = []
    listing = path + "/tests"
    if os.path.exists(listing):
        with open(listing, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                if line.strip() and not line.startswith("#"):
                    tests += parse_line(line.strip(), directory, "%s:%d" % (listing, number))
    named = {os.path.basename(word) for test in tests for word in test.command.split() + test.files}
    if os.path.exists(path + "/Makefile"):
        for source in sorted(glob.glob("%s/%s-*.c" % (path, directory))):
            name = os.path.basename(source)[:-2]
            if name not in named:
                tests += [Test(name, place, 120 * SLOW, {}, name, directory) for place in ("amd", "intel")]
    return tests


def read_all(top, globs, vendors, full=False):
    root = os.environ.get("VMM_TESTS") or top + "/selftests"
    found = [test for path in sorted(glob.glob(root + "/*/")) for test in read_directory(path.rstrip("/"))]
    seen = set()
    for test in found:
        if test.label() in seen:
            raise LabError("two tests are called %s" % test.label())
        seen.add(test.label())
    return [test for test in found
            if (test.where == "host" or test.where in vendors)
            and (test.options.get("machine", vendors[0]) in vendors)
            and (full or "full" not in test.options)
            and any(fnmatch.fnmatchcase(test.name, g) for g in globs)]
