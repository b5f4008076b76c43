# SPDX-License-Identifier: GPL-2.0-only
"""Where the instructions of a round trip go, by function.

QEMU counts them one by one with counter.c; Bochs' debugger prints them one by one, which takes longer.
"""
import bisect
import collections
import os
import re
import shutil
import tempfile

import machines
from machines import BUILD, LabError, Run, lab, say

SAMPLES = {"amd": 64, "intel": 8, "ryzen": 8}
# Rows whose loop has one operation for each sample; the others have OPS of loop.h. The self-IPI's has its EOI, too.
SINGLE = {"x2apic.self-ipi", "x2apic.eoi", "deadline.now", "irqfd.wake", "halt.timer", "ipi.pair", "pause"}
OPS = 4
# Rows without a second, bare loop that has marks as well
ALONE = SINGLE | {"immediate-exit"}
# The switch between the worlds, in assembly
SWITCH = {"svm_enter_guest", "vmx_enter_guest"}
# The functions that do an operation's own work
WORK = {
}


class Symbols:
    """Of the kernel and its modules, from lines of /proc/kallsyms."""

    def __init__(self, lines):
        found = []
        for line in lines:
            words = line.split()
            if len(words) >= 3 and words[1] in "tTwW":
                found.append((int(words[0], 16), words[2]))
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


def operations(vendor, name):
    return SAMPLES[vendor] * (1 if name in SINGLE else OPS)


def read_counts(path, names, symbols):
    """What counter.c wrote."""
    profiles, current = {}, None
    with open(path, encoding="ascii") as f:
        for line in f:
            words = line.split()
            if words == ["row"]:
                name = next(names)
                current = Profile(operations("amd", name))
            elif words[0] == "end":
                if name not in profiles:
                    current.others = int(words[1]) / current.operations
                    profiles[name] = current
                current = Profile(current.operations)
            else:
                current.add(symbols.name(int(words[0], 16)), int(words[1]), words[2] if len(words) > 2 else None)
    return profiles


def kallsyms():
    return lab.build_dir('"$(lab_kernel)"') + "/kallsyms"


def count(module, group, rows):
    """In QEMU. Leaves the kernel's symbols for trace()."""
    share = tempfile.mkdtemp(prefix="profile.", dir=machines.Machine.run_root())
    arguments = "--unit insn --samples %d %s" % (SAMPLES["amd"], " ".join(rows))
    script = "cat /proc/kallsyms >/share/kallsyms\n" + machines.job([group], arguments)
    try:
        run = Run("amd", module, script, plugin=BUILD + "/counter.so", share=share)
        try:
            shutil.copy(share + "/kallsyms", kallsyms())
            with open(kallsyms(), encoding="ascii") as f:
                return read_counts(run.box.dir + "/counts", row_names(run.output), Symbols(f))
        finally:
            run.close()
    except StopIteration:
        raise LabError("the counts have more rows than the program printed") from None
    finally:
        shutil.rmtree(share, ignore_errors=True)


# -------- Bochs --------

# (0).[ticks] [physical address] selector:offset (symbol): instruction ; bytes
TRACED = re.compile(r"\] ([0-9a-f]{4}):([0-9a-f]{16}) \([^)]*\): (.*?)\s*; [0-9a-f]+")
MARK = "xchg bx, bx"
COSTLY = {"vmread": "vmread", "vmwrite": "vmwrite", "rdmsr": "rdmsr", "wrmsr": "wrmsr", "vmload": "vmload", "vmsave": "vmsave",
          "xgetbv": "xgetbv", "xsetbv": "xsetbv", "verw": "verw", "rdtsc": "rdtsc", "iretq": "iret", "swapgs": "swapgs",
          "invvpid": "invvpid", "invept": "invept"}


def kind(text):
    word = text.split(" ")[0]
    if word == "lock" or (word == "xchg" and "ptr" in text):
        return "lock"
    if word.startswith("xsave") or word.startswith("xrstor"):
        return word[:6].rstrip("6")
    if word in ("call", "jmp") and ("ptr" in text or re.search(r" r\w+$", text)):
        return "indirect"
    if word == "mov" and re.search(r"\b[cd]r\d", text):
        return "movdr" if re.search(r"\bdr\d", text) else "movcr"
    return COSTLY.get(word)


def read_trace(path, vendor, names, symbols):
    """The debugger stops before the mark it runs into, and executes it first when it goes on."""
    profiles = {}
    stretches = [(name, first) for name in names for first in ([True] if name in ALONE else [True, False])]
    current, todo = None, iter(stretches)
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            found = TRACED.search(line)
            if not found:
                current = None
                continue
            if current is None:
                name, first = next(todo)
                current = Profile(operations(vendor, name))
                if first:
                    profiles[name] = current
            address = int(found.group(2), 16)
            if address >> 63:
                current.add(symbols.name(address), 1, kind(found.group(3)))
            else:
                current.others += 1 / current.operations
    return profiles


def trace(vendor, module, group, rows):
    if not os.path.exists(kallsyms()):
        count(module, 1, ["cpuid.0"])
    script = "grep -E '\\[(vmm|kvm.*)\\]' /proc/kallsyms | cut -f 1\n"
    script += machines.job([group], "--unit insn --samples %d %s" % (SAMPLES[vendor], " ".join(rows)))
    run = Run(vendor, module, script, trace=200)
    try:
        names = list(row_names(run.output))
        with open(kallsyms(), encoding="ascii") as f:
            symbols = Symbols([line for line in f if "[" not in line] + run.output.splitlines())
        return read_trace(run.box.dir + "/trace", vendor, names, symbols)
    finally:
        run.close()


def measure(vendor, module, group, rows=()):
    """{name: Profile}"""
    say("profiling %s on the %s machine" % (module, vendor))
    return count(module, group, rows) if vendor == "amd" else trace(vendor, module, group, rows)


def add_profile(vendor, rows):
    """What the table has from profiles: floors, and the costly instructions of both sides."""
    profiles = {module: measure(vendor, module, 1) for module in ("kvm", "vmm")}
    for row in rows:
        if row["group"] != 1 or row["name"] not in profiles["vmm"]:
            continue
        row["costs"] = {module: {kind: round(count, 2) for kind, count in found[row["name"]].costs.items()}
                        for module, found in profiles.items() if row["name"] in found}
        if row["name"] in WORK:
            row["floor"] = round(profiles["vmm"][row["name"]].floor(WORK[row["name"]]), 1)
