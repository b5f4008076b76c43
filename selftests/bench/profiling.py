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
SINGLE = {"x2apic.self-ipi", "x2apic.eoi", "deadline.now", "irqfd.wake", "halt.timer", "ipi.pair", "pause",
          "fault.4k", "fault.4k.absent", "fault.2m", "fault.2m.absent", "dirty.fault"}
OPS = 4
# Rows that take no more samples than this: of 2M memory.c's 64 MiB have no more pages
AT_MOST = {"halt.timer": 64, "outs.4k": 3, "fault.2m": 32, "fault.2m.absent": 32}
# And those with so many operations whatever the samples: as many as there are 4K pages, or one (slots, logs, the zap)
FIXED = {"fault.storm": 16384, "zap": 1}
# Rows of millions of instructions, each of which Bochs prints in a line
TOO_LONG = {"outs.4k", "fault.storm", "slot.move", "slot.delete", "zap", "dirty.get.1%", "dirty.get.all", "dirty.clear.1%",
            "dirty.clear.all"}
TOP_FUNCTIONS = 8
# The switch between the worlds, in assembly
SWITCH = {"svm_enter_guest", "vmx_enter_guest", "vmx_exit_point"}
CPUID = {"handle_cpuid", "cpuid_execute", "guest_cpuid_leaf"}
APIC_READ = {"lapic_rdmsr", "lapic_mmio_read", "reg_readable", "reg_read"}
APIC_WRITE = {"lapic_wrmsr", "lapic_mmio_write", "reg_write", "lapic_write_tpr", "lapic_update_ppr", "end_of_interrupt"}
DELIVERY = {"write_icr", "send_ipi", "irq_deliver", "deliver", "accept", "lapic_accept", "set_irr", "irq_ack", "lapic_deliverable"}
TIMER = {"lapic_set_tscdeadline", "arm_deadline", "disarm", "lapic_timer_fired", "hrtimer_start_range_ns", "hrtimer_cancel"}
PORTS = {"port_read", "port_write", "pit_read", "update", "pending_pin", "chip_write"}
BELL = {"ioeventfd_write", "eventfd_signal_mask", "eventfd_ctx_do_read", "irqfd_wakeup"}
# The functions that do an operation's own work
WORK = {
    "cpuid.0": CPUID, "cpuid.d.1": CPUID, "hypercall": {"poll_irq"},
    "rdmsr.apic-base": {"get_apicbase"}, "rdmsr.tsc-adjust": {"get_tsc_adjust"}, "rdmsr.mtrr": {"get_mtrr"},
    "wrmsr.tsc-adjust": {"set_tsc_adjust", "time_adjust_tsc", "set_offset", "svm_write_tsc", "vmx_write_tsc"},
    "wrmsr.efer": {"set_efer", "vcpu_set_efer", "flush_cr"},
    "x2apic.read-id": APIC_READ, "x2apic.write-tpr": APIC_WRITE, "x2apic.self-ipi": APIC_WRITE | DELIVERY,
    "x2apic.eoi": APIC_WRITE, "deadline.arm": TIMER, "deadline.now": TIMER | DELIVERY,
    "lapic.read": APIC_READ, "lapic.write": APIC_WRITE, "pic.in": PORTS, "pic.out": PORTS, "pit.in": PORTS,
    "ioeventfd.port": BELL, "ioeventfd.port-match": BELL, "ioeventfd.mmio": BELL, "ioeventfd.mmio-match": BELL,
    "irqfd.inject": BELL | DELIVERY, "irqfd.wake": BELL | DELIVERY, "halt.timer": TIMER | DELIVERY,
    "ipi.pair": APIC_WRITE | DELIVERY, "pause": {"handle_pause", "yield_on_spin"},
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
    """(module, row) of all rows in their order, those without a figure among them."""
    module = None
    for line in output.splitlines():
        words = line.split()
        if line.startswith("@module "):
            module = words[1]
        elif line.startswith("# no figure: "):
            yield module, words[3].rstrip(",")
        elif machines.is_figure(words):
            yield module, words[0]


def new_profiles():
    return {module: {} for module in machines.MODULES}


def operations(samples, name):
    if name in FIXED or name.startswith(("slot.", "dirty.get", "dirty.clear")):
        return FIXED.get(name, 1)
    return min(samples, AT_MOST.get(name, samples)) * (1 if name in SINGLE else OPS)


def read_counts(path, names, samples, symbols):
    """What counter.c wrote."""
    profiles, current = new_profiles(), None
    with open(path, encoding="ascii") as f:
        for line in f:
            words = line.split()
            if words == ["row"]:
                module, name = next(names)
                current = Profile(operations(samples, name))
            elif words[0] == "end":
                if name not in profiles[module]:
                    current.others = int(words[1]) / current.operations
                    profiles[module][name] = current
                current = Profile(current.operations)
            else:
                current.add(symbols[module].name(int(words[0], 16)), int(words[1]), words[2] if len(words) > 2 else None)
    return profiles


def kallsyms():
    return lab.build_dir('"$(lab_kernel)"') + "/kallsyms"


def count(modules, groups, samples, rows=()):
    """In QEMU: what the programs printed, and {module: {row: Profile}}. Leaves the kernel's symbols for trace()."""
    share = tempfile.mkdtemp(prefix="profile.", dir=machines.Machine.run_root())
    arguments = "--samples %d %s" % (samples, " ".join(rows))
    script = machines.job(modules, groups, arguments, "cat /proc/kallsyms >/share/$1")
    try:
        run = Run("amd", script, plugin=BUILD + "/counter.so", share=share)
        try:
            symbols = {}
            for module in modules:
                with open("%s/%s" % (share, module), encoding="ascii") as f:
                    symbols[module] = Symbols(f)
                shutil.copy("%s/%s" % (share, module), kallsyms())
            return run.output, read_counts(run.box.dir + "/counts", row_names(run.output), samples, symbols)
        finally:
            run.close()
    except StopIteration:
        raise LabError("the counts have more rows than the programs printed") from None
    finally:
        shutil.rmtree(share, ignore_errors=True)


# -------- Bochs --------

# (0).[ticks] [physical address] selector:offset (symbol): instruction ; bytes
TRACED = re.compile(r"\] ([0-9a-f]{4}):([0-9a-f]{16}) \([^)]*\): (.*?)\s*; [0-9a-f]+")
# More than any program has
TRACED_SECTIONS = 800
# mark_row() as Bochs prints its bytes. It is a section by itself.
ROW_MARK = "; 0f1f8031776f72"
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


def traced_sections(f):
    """For each section between two marks how often it had (address, instruction), but for what serves the host's interrupts;
    None for mark_row()."""
    section, depth = collections.Counter(), 0
    for line in f:
        if line.startswith("Tracing enabled"):
            section, depth = collections.Counter(), 0
        elif ROW_MARK in line:
            section = None
        elif line.startswith("Tracing disabled"):
            yield section
        elif "Interrupt 0x" in line:
            depth += 1
        else:
            found = TRACED.search(line)
            if section is None or not found:
                continue
            if not depth:
                section[int(found.group(2), 16), found.group(3)] += 1
            elif found.group(3).startswith("iret"):
                depth -= 1


def profile_of(section, operations_made, symbols):
    profile = Profile(operations_made)
    for (address, text), count in section.items():
        if address >> 63:
            profile.add(symbols.name(address), count, kind(text))
        else:
            profile.others += count / profile.operations
    return profile


def read_trace(path, names, samples, symbols):
    """What Bochs printed: of each row the first section."""
    profiles, module, name = new_profiles(), None, None
    with open(path, encoding="utf-8", errors="replace") as f:
        for section in traced_sections(f):
            if section is None:
                module, name = next(names)
            elif name not in profiles[module]:
                profiles[module][name] = profile_of(section, operations(samples, name), symbols[module])
    if next(names, None):
        raise LabError("the trace ends with %s" % name)
    return profiles


def traced_symbols(output):
    """The kernel's from kallsyms(), the modules' as each was loaded."""
    with open(kallsyms(), encoding="ascii") as f:
        kernel = [line for line in f if "[" not in line]
    symbols = {}
    for part in output.split("@module ")[1:]:
        lines = part.splitlines()
        symbols[lines[0]] = Symbols(kernel + [line for line in lines if "[" in line])
    return symbols


def trace(vendor, modules, groups, samples, rows=()):
    """In Bochs: {module: {row: Profile}}."""
    if not os.path.exists(kallsyms()):
        count(["vmm"], [1], 1, ["cpuid.0"])
    script = machines.job(modules, groups, "--samples %d %s" % (samples, " ".join(rows)),
                          "grep -E '\\[(vmm|kvm.*)\\]' /proc/kallsyms")
    run = Run(vendor, script, trace=TRACED_SECTIONS)
    try:
        return read_trace(run.box.dir + "/trace", row_names(run.output), samples, traced_symbols(run.output))
    except StopIteration:
        raise LabError("the trace has more rows than the programs printed") from None
    finally:
        run.close()


def measure(vendor, modules, groups, rows=()):
    """{module: {row: Profile}}, of groups whose rows have marks: 1 to 3."""
    say("profiling %s on the %s machine" % (" and ".join(modules), vendor))
    if vendor == "amd":
        return count(modules, groups, SAMPLES[vendor], rows)[1]
    return trace(vendor, modules, groups, SAMPLES[vendor], rows)


def add_profile(rows, profiles):
    """What the table has from profiles: floors, and the costly instructions of both sides."""
    for row in rows:
        found = {module: profiles[module][row["name"]] for module in profiles if row["name"] in profiles[module]}
        row["costs"] = {module: {kind: round(count, 2) for kind, count in profile.costs.items()}
                        for module, profile in found.items()}
        if "vmm" in found:
            row["top"] = [[name, round(count)] for name, count in found["vmm"].functions.most_common(TOP_FUNCTIONS)]
        if row["name"] in WORK and "vmm" in found:
            row["floor"] = round(found["vmm"].floor(WORK[row["name"]]), 1)
