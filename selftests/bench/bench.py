#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""make bench: the same programs on the stock kvm modules and on vmm.ko, in the same emulated machine.

Prints a table and writes docs/benchmarks.{json,md} and a chart for each group. Taken from the environment: VENDOR (one
machine of amd, intel and ryzen; the others' figures stay what they are), ROWS (the numbers of the groups to be
measured; all if not told) and GUESTS (how many of them group 6 has; 4 if not told).
"make bench-smoke" (--smoke) measures group 1 of vmm alone and fails if a row is worse than in the committed table.
"""
import json
import math
import os
import sys
import time

import machines
from machines import MODULES, LabError, TOP, lab, lab_kernel, say
import profiling
import table

RESULTS = TOP + "/docs/benchmarks.json"
TOLERANCE = 1.05
SAMPLES = 512
# Groups whose rows mark their loops, so that what executes in them can be told
MARKED = (1, 2, 3)
MACHINES = {
    "amd": "AMD-V: QEMU's TCG, EPYC-v4, one CPU, -icount shift=0",
    "intel": "VT-x: Bochs, Skylake-X, one CPU",
    "ryzen": "AMD-V: Bochs, Ryzen, one CPU",
}


def load():
    if not os.path.exists(RESULTS):
        return {}
    with open(RESULTS, encoding="utf-8") as f:
        return json.load(f)


def save(results):
    os.makedirs(os.path.dirname(RESULTS), exist_ok=True)
    with open(RESULTS, "w", encoding="utf-8") as f:
        json.dump(results, f, indent=1)
        f.write("\n")


def measure_marked(vendor, groups):
    """Figures and profiles. QEMU counts for them meanwhile; Bochs, which tells each instruction, does it in another boot."""
    if vendor == "amd":
        output, profiles = profiling.count(MODULES, groups, SAMPLES)
        return machines.parse(output), profiles
    found = machines.measure(vendor, MODULES, groups)
    names = [name for _, name in found["vmm"] if name not in profiling.TOO_LONG]
    return found, profiling.measure(vendor, MODULES, groups, names)


def measure(vendor, groups):
    """All groups that can share a boot do; those of whole guests cannot."""
    found, profiles = {module: {} for module in MODULES}, {}
    parts = []
    marked = [group for group in groups if group in MARKED]
    if marked:
        part, profiles = measure_marked(vendor, marked)
        parts.append(part)
    if 4 in groups:
        parts.append(machines.measure(vendor, MODULES, [4]))
    for group in [group for group in groups if group in machines.WHOLE_GUESTS]:
        parts += [machines.measure_guests(vendor, module, group) for module in MODULES]
    for part in parts:
        for module, rows in part.items():
            found[module].update(rows)
    return found, profiles


def compare(vendor, groups):
    say("measuring on the %s machine" % vendor)
    found, profiles = measure(vendor, groups)
    rows = []
    for key in dict.fromkeys([key for module in MODULES for key in found[module]]):
        unit, _ = next(found[module][key] for module in MODULES if key in found[module])
        row = {"group": key[0], "name": key[1], "unit": unit}
        row.update({module: found[module].get(key, (None, None))[1] for module in MODULES})
        rows.append(row)
    if profiles:
        profiling.add_profile([row for row in rows if row["group"] in MARKED], profiles)
    return rows


def bench():
    vendors = [lab.setting("VENDOR")] if lab.setting("VENDOR") else ["amd", "intel"]
    groups = [int(word) for word in lab.setting("ROWS", "1 2 3 4 5 6").split()]
    if set(vendors) - set(MACHINES) or set(groups) - set(machines.PROGRAMS):
        raise LabError("there are the machines %s and the groups %s" % (list(MACHINES), list(machines.PROGRAMS)))
    machines.build(groups)
    results = load()
    for vendor in vendors:
        rows = [row for row in results.get(vendor, {}).get("rows", []) if row["group"] not in groups]
        rows = sorted(rows + compare(vendor, groups), key=lambda row: row["group"])
        results[vendor] = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "machine": MACHINES[vendor],
                           "kernel": lab_kernel(), "rows": rows}
        save(results)
        table.write(results, os.path.dirname(RESULTS))
    for vendor in vendors:
        table.show(results[vendor])
    return 0


def smoke():
    committed = {row["name"]: row["vmm"] for row in load().get("amd", {}).get("rows", []) if row["group"] == 1}
    if not committed:
        raise LabError("there is no table in %s" % RESULTS)
    machines.build()
    rows = machines.measure("amd", ["vmm"], [1], "--samples 128")["vmm"]
    failed = 0
    for number, (name, want) in enumerate(committed.items(), 1):
        _, got = rows.get((1, name), (None, math.inf))
        good = want is None or got <= want * TOLERANCE
        failed += not good
        print("%s %d %s: %s, committed %s" % ("ok" if good else "not ok", number, name, got, want))
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(smoke() if sys.argv[1:] == ["--smoke"] else bench())
    except LabError as error:
        say(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
