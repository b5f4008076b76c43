# SPDX-License-Identifier: GPL-2.0-only
"""Running the benchmark's programs in the lab's machines, and reading what they print."""
import io
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lab"))
import lab                                                              # pylint: disable=wrong-import-position
from machine import TOP, LabError, Machine, lab_kernel, say             # pylint: disable=wrong-import-position

MODULES = ("kvm", "vmm")
PROGRAMS = {1: "roundtrip", 2: "user", 3: "memory", 4: "life", 5: "guests", 6: "guests --density"}
# What these two need beside them, and their machine
WHOLE_GUESTS = (5, 6)
FILES = ("ticks", "micro", "tiny", "end")
# The lab's machine and the processor in it. Bochs' AMD-V tells the length of an instruction, QEMU's does not.
MACHINES = {"amd": ("amd", None), "intel": ("intel", None), "ryzen": ("intel", "ryzen")}
BUILD = TOP + "/selftests/build/bench"
# What the lab's own machines leave out for speed, on real ones the stock kernel has it; and the lock prefixes, which a
# kernel takes out when it has one CPU.
APPEND = "mitigations=auto noreplace-smp"
SECONDS = 3000
# QEMU under -icount now and then takes a guest down with it: its kernel waits for a spinlock that nobody holds, on stock KVM
# alike. Then there is another boot.
TRIES, GUEST_SECONDS = 6, 45


class LateError(LabError):
    """A boot that had to be ended."""


def build(groups=()):
    if set(groups) & set(WHOLE_GUESTS):
        lab.set_up(*lab.images({True}, True))
    else:
        lab.set_up("machine")
    lab.build("vmm")
    os.makedirs(BUILD, exist_ok=True)
    lab.run_quietly([lab.LAB + "/build-userspace", "selftests/bench", "OUT=" + BUILD, "all"], "the benchmark does not build")


def job(modules, groups, arguments, before=""):
    """The modules take turns in one boot. before: a command that runs when one is loaded, with its name as $1."""
    lines = ["exec 2>&1", "export GUESTS=%d" % int(lab.setting("GUESTS", "4")), "set --"]
    for module in modules:
        lines += ["LAB_MODULE=%s bash /lab/load || exit 126" % module, "echo @module %s" % module, "set -- " + module, before]
        lines += ["echo @group %d; /lab/bench/%s --device /dev/%s --unit insn %s" % (group, PROGRAMS[group], module, arguments)
                  for group in groups]
        lines.append("rmmod vmm 2>/dev/null; rmmod kvm_amd kvm 2>/dev/null; rmmod kvm_intel kvm 2>/dev/null")
    return "\n".join(lines + ["exit 0"])


class Run:
    """One boot; options are Machine's. output: what the programs printed. The box has its files until it is closed."""

    def __init__(self, vendor, script, seconds=SECONDS, **options):
        where, model = MACHINES[vendor]
        names = {program.split()[0] for program in PROGRAMS.values()}.union(FILES)
        files = [("%s/%s" % (BUILD, name), "bench/" + name) for name in names]
        self.stage = lab.make_stage(where, "none", "command", script, files)
        self.box = None
        try:
            self.box = Machine(where, self.stage, append=APPEND, cpu=model, count=True, **options)
            self.box.start()
            output = io.BytesIO()
            status = lab.relay(self.box, False, seconds, output)
            self.output = output.getvalue().decode(errors="replace").replace("\r", "")
            if status == lab.TIMED_OUT:
                raise LateError("the benchmark has not ended after %d s:\n%s" % (seconds, self.output[-2000:]))
            if status == lab.COMPLAINED:
                raise LabError("the machine's kernel complained during the benchmark")
            if status:
                raise LabError("the benchmark did not end well:\n" + self.output[-2000:])
        except BaseException:
            self.close()
            raise

    def close(self):
        if self.box:
            self.box.stop()
        shutil.rmtree(self.stage, ignore_errors=True)


def options_for(vendor, groups):
    if not set(groups) & set(WHOLE_GUESTS):
        return {}
    # Only QEMU's machine has room for the system that has QEMU itself in it.
    return {"guest": True, "virt": True, "mem": 6144} if vendor == "amd" else {"guest": True}


def measure(vendor, modules, groups, arguments="", seconds=SECONDS):
    """{module: {(group, name): (unit, value)}} in the programs' order."""
    say("measuring %s on the %s machine" % (" and ".join(modules), vendor))
    run = Run(vendor, job(modules, groups, arguments), seconds, **options_for(vendor, groups))
    run.close()
    return parse(run.output)


def measure_guests(vendor, module, group):
    """As measure(), of a group of WHOLE_GUESTS."""
    guests = int(lab.setting("GUESTS", "4")) if group == 6 else 4
    seconds = GUEST_SECONDS * (guests + 3) if vendor == "amd" else SECONDS
    for _ in range(TRIES - 1):
        try:
            return measure(vendor, [module], [group], seconds=seconds)
        except LateError as error:
            say(str(error).split(":", maxsplit=1)[0] + ": once more")
    return measure(vendor, [module], [group], seconds=seconds)


def is_figure(words):
    return len(words) == 3 and words[1] in ("insn", "bytes", "count")


def parse(output):
    found, group, rows = {}, 0, {}
    for line in output.splitlines():
        words = line.split()
        if line.startswith("@module "):
            rows = found[words[1]] = {}
        elif line.startswith("@group "):
            group = int(words[1])
        elif is_figure(words):
            rows[group, words[0]] = (words[1], float(words[2]))
        elif line.startswith("#"):
            say(line)
    return found
