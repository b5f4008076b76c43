# SPDX-License-Identifier: GPL-2.0-only
"""Running the benchmark's programs in the lab's machines, and reading what they print."""
import io
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lab"))
import lab                                                              # pylint: disable=wrong-import-position
from machine import TOP, LabError, Machine, lab_kernel, say                        # pylint: disable=wrong-import-position

PROGRAMS = {1: "roundtrip", 2: "user", 3: "memory", 4: "life"}
# The lab's machine and the processor in it. Bochs' AMD-V tells the length of an instruction, QEMU's does not.
MACHINES = {"amd": ("amd", None), "intel": ("intel", None), "ryzen": ("intel", "ryzen")}
BUILD = TOP + "/selftests/build/bench"
# What the lab's own machines leave out for speed: on real ones the stock kernel has it.
APPEND = "mitigations=auto"
SECONDS = 3000


def build():
    lab.set_up("machine")
    lab.build("vmm")
    os.makedirs(BUILD, exist_ok=True)
    lab.run_quietly([lab.LAB + "/build-userspace", "selftests/bench", "OUT=" + BUILD, "all"], "the benchmark does not build")


def job(groups, arguments):
    lines = ['echo "@group %d"; /lab/bench/%s %s' % (group, PROGRAMS[group], arguments) for group in groups]
    return "\n".join(["exec 2>&1"] + lines)


class Run:
    """One boot; options are Machine's. output: what the programs printed. The box has its files until it is closed."""

    def __init__(self, vendor, module, script, **options):
        files = [("%s/%s" % (BUILD, name), "bench/" + name) for name in PROGRAMS.values()]
        self.stage = lab.make_stage(MACHINES[vendor][0], module, "command", script, files)
        self.box = None
        try:
            where, model = MACHINES[vendor]
            self.box = Machine(where, self.stage, append=APPEND, cpu=model, count=True, **options)
            self.box.start()
            output = io.BytesIO()
            status = lab.relay(self.box, False, SECONDS, output)
            self.output = output.getvalue().decode(errors="replace").replace("\r", "")
            if status in (lab.DIED, lab.TIMED_OUT, 126):
                raise LabError("the benchmark did not end:\n" + self.output[-2000:])
            if self.box.trouble:
                raise LabError("the machine's kernel complained during the benchmark")
        except BaseException:
            self.close()
            raise

    def close(self):
        if self.box:
            self.box.stop()
        shutil.rmtree(self.stage, ignore_errors=True)


def measure(vendor, module, groups, arguments=""):
    """{(group, name): (unit, value)} in the programs' order."""
    say("measuring %s on the %s machine" % (module, vendor))
    run = Run(vendor, module, job(groups, "--unit insn " + arguments))
    run.close()
    return parse(run.output)


def parse(output):
    rows, group = {}, 0
    for line in output.splitlines():
        words = line.split()
        if line.startswith("@group "):
            group = int(words[1])
        elif len(words) == 3 and not line.startswith("#"):
            rows[group, words[0]] = (words[1], float(words[2]))
        elif line.strip():
            say(line)
    return rows
