# SPDX-License-Identifier: GPL-2.0-only
"""Where the instructions of a round trip go: counted one by one in QEMU by counter.c, and told by function."""
import bisect
import collections
import re
import shutil
import tempfile

import machines
from machines import BUILD, LabError, Run, say

SAMPLES = 64
# Rows whose loop has one operation for each sample; the others have OPS of loop.h. The self-IPI's has its EOI, too.
SINGLE = {"x2apic.self-ipi", "x2apic.eoi", "deadline.now", "irqfd.wake", "halt.timer", "ipi.pair"}
OPS = 4
# The switch between the worlds, in assembly
SWITCH = {"svm_enter_guest"}
# The functions that do an operation's own work
WORK = {
}


class Symbols:
    """Of the kernel and its modules, from /proc/kallsyms."""

    def __init__(self, path):
        found = []
        with open(path, encoding="ascii") as f:
            for line in f:
                address, kind, name = line.split()[:3]
                if kind in "tTwW":
                    found.append((int(address, 16), name))
        found.sort(key=lambda symbol: symbol[0])
        self.addresses = [address for address, _ in found]
        self.names = [name for _, name in found]

    def name(self, address):
        # GCC's clones of a function are that function.
        name = self.names[bisect.bisect_right(self.addresses, address) - 1]
        return re.sub(r"\.(constprop|isra|part|cold)\b.*", "", name)


class Profile:
    """Of one row, for one operation. functions and costs: how many instructions in each function, of each costly kind."""

    def __init__(self, operations):
        self.operations = operations
        self.functions, self.costs, self.others = collections.Counter(), collections.Counter(), 0

    def add(self, name, count, kind):
        self.functions[name] += count / self.operations
        if kind:
            self.costs[kind] += count / self.operations

    def total(self):
        return sum(self.functions.values())

    def floor(self, work):
        return sum(count for name, count in self.functions.items() if name in SWITCH | work)


def row_names(output):
    """All rows in their order, those without a figure among them."""
    for line in output.splitlines():
        words = line.split()
        if line.startswith("# no figure: "):
            yield words[3].rstrip(",")
        elif len(words) == 3 and words[1] in ("insn", "bytes"):
            yield words[0]


def read_counts(path, names, symbols):
    profiles, current = {}, None
    with open(path, encoding="ascii") as f:
        for line in f:
            words = line.split()
            if words == ["row"]:
                name = next(names)
                current = Profile(SAMPLES * (1 if name in SINGLE else OPS))
            elif words[0] == "end":
                if name not in profiles:
                    current.others = int(words[1]) / current.operations
                    profiles[name] = current
                current = Profile(current.operations)
            else:
                current.add(symbols.name(int(words[0], 16)), int(words[1]), words[2] if len(words) > 2 else None)
    return profiles


def measure(module, group, rows=()):
    """{name: Profile}"""
    say("profiling %s" % module)
    share = tempfile.mkdtemp(prefix="profile.", dir=machines.Machine.run_root())
    arguments = "--unit insn --samples %d %s" % (SAMPLES, " ".join(rows))
    script = "cat /proc/kallsyms >/share/kallsyms\n" + machines.job([group], arguments)
    try:
        run = Run("amd", module, script, BUILD + "/counter.so", share)
        try:
            return read_counts(run.box.dir + "/counts", row_names(run.output), Symbols(share + "/kallsyms"))
        finally:
            run.close()
    except StopIteration:
        raise LabError("the counts have more rows than the program printed") from None
    finally:
        shutil.rmtree(share, ignore_errors=True)


def add_profile(rows):
    """What the table has from profiles: floors, and the costly instructions of both sides."""
    profiles = {module: measure(module, 1) for module in ("kvm", "vmm")}
    for row in rows:
        if row["group"] != 1 or row["name"] not in profiles["vmm"]:
            continue
        row["costs"] = {module: {kind: round(count, 2) for kind, count in found[row["name"]].costs.items()}
                        for module, found in profiles.items() if row["name"] in found}
        if row["name"] in WORK:
            row["floor"] = round(profiles["vmm"][row["name"]].floor(WORK[row["name"]]), 1)
