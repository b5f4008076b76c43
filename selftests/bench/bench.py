#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""make bench: the same programs on the stock kvm modules and on vmm.ko, in the same emulated machine.

Prints a table and writes docs/benchmarks.{json,md} and a chart for each group. Taken from the environment: VENDOR (one
machine of amd, intel and ryzen; the others' figures stay what they are) and ROWS (the numbers of the groups to be measured).
"make bench-smoke" (--smoke) measures group 1 of vmm alone and fails if a row is worse than in the committed table.
"""
import json
import math
import os
import sys
import time

import machines
from machines import LabError, TOP, lab, lab_kernel, say
from profiling import add_profile
import table

RESULTS = TOP + "/docs/benchmarks.json"
TOLERANCE = 1.05
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


def compare(vendor, groups):
    kvm, vmm = (machines.measure(vendor, module, groups) for module in ("kvm", "vmm"))
    rows = []
    for key in dict.fromkeys([*kvm, *vmm]):
        group, name = key
        unit = (kvm.get(key) or vmm.get(key))[0]
        rows.append({"group": group, "name": name, "unit": unit, "kvm": kvm.get(key, (0, None))[1],
                     "vmm": vmm.get(key, (0, None))[1]})
    return rows


def merge(old, new, groups):
    """The rows of groups that were not measured stay; so does what only a profile knows."""
    known = {row["name"]: row for row in old}
    for row in new:
        for key in ("floor", "costs"):
            if key in known.get(row["name"], {}):
                row[key] = known[row["name"]][key]
    return sorted([row for row in old if row["group"] not in groups] + new, key=lambda row: row["group"])


def bench():
    vendors = [lab.setting("VENDOR")] if lab.setting("VENDOR") else ["amd", "intel"]
    groups = [int(word) for word in lab.setting("ROWS", "1 2 3 4").split()]
    if set(vendors) - set(MACHINES) or set(groups) - set(machines.PROGRAMS):
        raise LabError("there are the machines %s and the groups %s" % (list(MACHINES), list(machines.PROGRAMS)))
    machines.build()
    results = load()
    for vendor in vendors:
        old = results.get(vendor, {}).get("rows", [])
        rows = merge(old, compare(vendor, groups), groups)
        if 1 in groups:
            add_profile(vendor, rows)
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
    rows = machines.measure("amd", "vmm", [1], "--samples 128")
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
