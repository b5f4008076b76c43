#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""make conformance-report: docs/conformance.md from the results that `make conformance` left in the cache."""
import collections
import os
import time

import conformance
import lab
import results
from machine import TOP, LabError

HEAD = """# KVM's selftests on KVM and on vmm

Made by `make conformance-report` on {date} from the last results of `make conformance`: KVM's selftests of Debian's
linux-source packages, unmodified, in the emulated machines (AMD-V: QEMU's TCG, VT-x: Bochs; kernel {kernel}), on the stock
modules and on vmm.ko. Seconds are processor time of the emulator. Families marked with * are not built yet, and not judged.
"""


def counts(pairs):
    """"12 pass, 3 skip" of results."""
    counter = collections.Counter(result["verdict"] if result else "not run" for result in pairs)
    return ", ".join("%d %s" % (n, verdict) for verdict, n in sorted(counter.items(), key=lambda item: -item[1])) or "-"


def families(rows):
    lines = ["## Totals", "", "| suite | machine | family | tests | kvm | vmm |", "|---|---|---|---|---|---|"]
    groups = collections.OrderedDict()
    for row in rows:
        groups.setdefault((row[1], row[2], row[0] + ("" if row[4] else " *")), []).append(row)
        groups.setdefault((row[1], row[2], "**all judged families**"), [])
        if row[4]:
            groups[row[1], row[2], "**all judged families**"].append(row)
    for (suite, vendor, family), members in sorted(groups.items(), key=lambda item: (item[0][0] != "6.12", item[0][1])):
        lines.append("| %s | %s | %s | %d | %s | %s |" % (suite, vendor, family, len(members),
                     counts(row[5] for row in members), counts(row[6] for row in members)))
    return lines


def differences(rows, expected):
    lines = ["", "## Differences", "", "Tests that pass on KVM and do not pass, or take more than %d seconds and %.1f times as long, on vmm." %
             (results.FLOOR_SECONDS, results.SLOWER), ""]
    found = []
    for _, suite, vendor, test, judged, kvm, vmm in rows:
        kind, text = results.compare((suite, vendor, test, judged, kvm, vmm), expected)
        if kind:
            found.append("* %s of %s, %s: %s%s" % (test, suite, vendor, text, "" if kind == "known" else " (not excused)"))
    return lines + (found or ["None."])


def cell(result):
    return "%s (%.1f)" % (result["verdict"], result["seconds"]) if result else "-"


def tests(rows):
    columns = [(suite, vendor) for suite in conformance.SUITES for vendor in conformance.VENDORS]
    lines = ["", "## Tests", "", "Result and seconds, kvm / vmm.", "",
             "| test | %s |" % " | ".join("%s of %s" % (vendor, suite) for suite, vendor in columns),
             "|---" * (len(columns) + 1) + "|"]
    cells = collections.OrderedDict()
    for _, suite, vendor, test, _, kvm, vmm in rows:
        cells.setdefault(test, {})[suite, vendor] = "%s / %s" % (cell(kvm), cell(vmm))
    for test, found in cells.items():
        lines.append("| %s | %s |" % (test, " | ".join(found.get(column, "") for column in columns)))
    return lines


def main():
    groups = conformance.read_groups(conformance.SUITES, conformance.VENDORS, ["*"])
    rows = conformance.table(groups)
    if not rows:
        raise LabError("there are no results yet: make conformance")
    kernels = {group[side].store.data["kernel"] for group in groups.values() for side in results.SIDES} - {""}
    expected = results.Expected(conformance.HERE + "/expected")
    lines = [HEAD.format(date=time.strftime("%Y-%m-%d"), kernel=", ".join(sorted(kernels)))]
    lines += families(rows) + differences(rows, expected) + tests(rows)
    os.makedirs(TOP + "/docs", exist_ok=True)
    with open(TOP + "/docs/conformance.md", "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")
    print("docs/conformance.md")
    return 0


if __name__ == "__main__":
    lab.guarded(main)
