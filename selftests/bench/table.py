# SPDX-License-Identifier: GPL-2.0-only
"""The benchmark's table, as text, as Markdown and as bar charts."""
import collections
import fnmatch
import math
import os

GROUPS = {1: "round trips finished in the kernel", 2: "to user space and back", 3: "memory", 4: "life", 5: "whole guests",
          6: "many idle guests"}
GOALS = {1: 0.33, 2: 0.60, 3: 0.60, 4: 0.50, 5: 0.95, 6: 1.0}
# Smaller ratios are other ways of doing a thing, and would be all that a mean tells
LEFT_OUT = 0.01
HEAD = ("name", "kvm", "vmm", "ratio", "floor")

HELP = """Made by `make bench`; do not edit. The same programs (`selftests/bench/`) ran on the stock kvm modules and on vmm.ko, in
the same emulated machine, whose TSC advances by one for each instruction: the figures are instructions of the host for one
operation, the guest's own subtracted (bytes where it says so), and two runs agree within 1 %. They say how long the paths are,
and nothing about what an instruction costs: for that see the list of costly ones.

*No exit*: one of the two leaves the operation to the processor. `outs.4k`: KVM comes out to user space for each byte. Ratios below 0.01
are left out of the means.

The *floor* of a row is what is left of our own path if only the world switch (`entry.S`) and the functions that do the
operation's own work are counted. Where a row stays above its goal, the functions that execute most are told, and what it would
take (`selftests/bench/needed`). Functions of rows of millions of instructions are counted on the AMD machine only, as Bochs has
to print every instruction; but for the switch both run the same code."""


def number(value):
    if value is None:
        return "-"
    return "%d" % round(value) if abs(value) >= 100 else "%.1f" % value


def has_exit(value):
    """Less than this is not a round trip: the processor did it."""
    return value is not None and value >= 20


def ratio(row):
    return row["vmm"] / row["kvm"] if has_exit(row["kvm"]) and has_exit(row["vmm"]) else None


def ratio_text(row):
    if ratio(row) is not None:
        return "%.2g" % ratio(row) if ratio(row) < 0.01 else "%.2f" % ratio(row)
    return "no exit" if row["kvm"] is not None and row["vmm"] is not None else "-"


def cells(row):
    unit = "" if row["unit"] == "insn" else " (%s)" % row["unit"]
    return row["name"] + unit, number(row["kvm"]), number(row["vmm"]), ratio_text(row), number(row.get("floor"))


def summary(group, rows):
    ratios = [value for row in rows if (value := ratio(row)) is not None and value >= LEFT_OUT]
    if not ratios:
        return "group %d: nothing to compare" % group
    mean = math.exp(sum(math.log(value) for value in ratios) / len(ratios))
    return "group %d: geometric mean %.2f, worst %.2f" % (group, mean, max(ratios))


def by_group(rows):
    return {group: found for group in GROUPS if (found := [row for row in rows if row["group"] == group])}


def show(result):
    table = [HEAD] + [cells(row) for row in result["rows"]]
    width = [max(len(line[i]) for line in table) for i in range(len(HEAD))]
    print("\n%s, %s, %s" % (result["machine"], result["kernel"], result["date"]))
    for line in table:
        print(" | ".join([line[0].ljust(width[0])] + [cell.rjust(w) for cell, w in zip(line[1:], width[1:])]))
    for group, rows in by_group(result["rows"]).items():
        print(summary(group, rows))


# -------- Markdown --------

def markdown_table(head, lines):
    yield "| " + " | ".join(head) + " |"
    yield "|---|" + "---:|" * (len(head) - 1)
    for line in lines:
        yield "| " + " | ".join(line) + " |"
    yield ""


def costs_table(rows):
    rows = [row for row in rows if row.get("costs") and ratio(row) is not None]
    kinds = sorted({kind for row in rows for side in row["costs"].values() for kind in side})
    if not rows:
        return
    yield "Costly instructions of one operation, kvm / vmm:"
    yield ""
    lines = []
    for row in rows:
        sides = [row["costs"].get(side, {}) for side in ("kvm", "vmm")]
        lines.append([row["name"]] + [" / ".join("%.3g" % side.get(kind, 0) for side in sides) for kind in kinds])
    yield from markdown_table(["name"] + kinds, lines)


def all_forms(costs):
    """XSAVE and XSAVES are one."""
    found = collections.Counter()
    for kind, count in costs.items():
        found["xsave" if kind == "xsaves" else kind] += count
    return found


def costlier_kinds(row):
    """{kind: (kvm's, vmm's)} of which vmm executes more; part of one is the noise of few samples."""
    if ratio(row) is None or not all(side in row.get("costs", {}) for side in ("kvm", "vmm")):
        return {}
    kvm, vmm = (all_forms(row["costs"][side]) for side in ("kvm", "vmm"))
    if vmm["iret"] > kvm["iret"] + 0.4:
        return {}       # the host's tick fell into it
    return {kind: (kvm[kind], count) for kind, count in sorted(vmm.items()) if count > max(kvm[kind] * 1.02, kvm[kind] + 0.95)}


def costlier(rows):
    """Of which costly instructions rows of vmm's execute more, by reason."""
    reasons = collections.defaultdict(list)
    for row in rows:
        kinds = costlier_kinds(row)
        if kinds:
            parts = ", ".join("%s %.3g / %.3g" % ((kind,) + counts) for kind, counts in kinds.items())
            reasons[needed("costs." + row["name"])].append("%s (%s)" % (row["name"], parts))
    if reasons:
        yield "Of these vmm executes more:"
        yield ""
    for reason, parts in reasons.items():
        yield "* %s. %s" % (", ".join(parts), reason)
    yield ""


def launchers(rows):
    """vmrun beside the leanest machine that QEMU has."""
    figures = {row["name"]: row["vmm"] for row in rows}
    parts = ["%.2f until %s" % (figures[name + ".vmrun"] / figures[name + ".microvm"], what)
             for name, what in (("start", "its first instruction"), ("init", "init")) if figures.get(name + ".microvm")]
    if parts:
        yield "To start a guest of 128 MB vmrun takes of what QEMU's microvm takes, both on vmm: %s." % ", ".join(parts)
        yield ""


def markdown(vendor, result):
    yield "## %s" % result["machine"]
    yield ""
    yield "Linux %s, %s." % (result["kernel"], result["date"])
    yield ""
    for group, rows in by_group(result["rows"]).items():
        yield "### %d. %s" % (group, GROUPS[group].capitalize())
        yield ""
        yield from markdown_table(HEAD, map(cells, rows))
        yield "%s; the goal is %.2f." % (summary(group, rows), GOALS[group])
        yield ""
        yield "![vmm in parts of kvm](%s)" % chart_name(vendor, group)
        yield ""
        yield from launchers(rows)
    yield from above_goal(result["rows"])
    yield from costs_table(result["rows"])
    yield from costlier(result["rows"])


def read_needed():
    """[(patterns of rows, what would be needed)]"""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "needed"), encoding="utf-8") as f:
        lines = [line.split(":", 1) for line in f if line.strip() and not line.startswith("#")]
    return [(names.split(), text.strip()) for names, text in lines]


def needed(name):
    return " ".join(text for names, text in read_needed() if any(fnmatch.fnmatchcase(name, pattern) for pattern in names))


def above_goal(rows):
    """Where the instructions go of rows that are not where they shall be."""
    rows = [row for row in rows if ratio(row) and ratio(row) > GOALS[row["group"]]]
    if rows:
        yield "Above the goal, by the functions of vmm and of the kernel that execute most:"
        yield ""
    for row in rows:
        top = ", ".join("`%s` %d" % (name, count) for name, count in row.get("top", []))
        yield "* %s: %s" % (row["name"], ". ".join(part for part in (top, needed(row["name"])) if part))
    yield ""


def write(results, directory):
    lines = ["# vmm beside KVM", "", HELP, ""]
    for vendor, result in results.items():
        lines += markdown(vendor, result)
        for group, rows in by_group(result["rows"]).items():
            with open(os.path.join(directory, chart_name(vendor, group)), "w", encoding="utf-8") as f:
                f.write(chart("%s: %s" % (result["machine"].split(":")[0], GROUPS[group]), GOALS[group], rows))
    with open(os.path.join(directory, "benchmarks.md"), "w", encoding="utf-8") as f:
        f.write("\n".join(lines).rstrip() + "\n")


# -------- charts --------

LABEL, SCALE, STEP, TOP_SPACE = 180, 420, 22, 44


def chart_name(vendor, group):
    return "benchmarks-%s-%d.svg" % (vendor, group)


def bar(y, row, value):
    colour = "#3a7d44" if value <= 1 else "#b3392f"
    length = min(value, 1.25) * SCALE
    return ('<text x="%d" y="%d" text-anchor="end">%s</text>' % (LABEL - 8, y + 12, row["name"]) +
            '<rect x="%d" y="%d" width="%.1f" height="15" fill="%s"/>' % (LABEL, y, length, colour) +
            '<text x="%.1f" y="%d">%.2f</text>' % (LABEL + length + 5, y + 12, value))


def line(x, bottom, text, dash):
    return ('<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#444" stroke-dasharray="%s"/>'
            % (x, TOP_SPACE - 6, x, bottom, dash) +
            '<text x="%.1f" y="%d" text-anchor="middle">%s</text>' % (x, TOP_SPACE - 10, text))


def chart(title, goal, rows):
    """One bar for each row: vmm in parts of kvm, with lines at the goal and at kvm."""
    values = [(row, ratio(row)) for row in rows if ratio(row) is not None]
    bottom = TOP_SPACE + STEP * len(values)
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">'
             % (LABEL + int(SCALE * 1.25) + 50, bottom + 8),
             '<rect width="100%" height="100%" fill="white"/>', '<text x="8" y="16" font-size="14">%s</text>' % title]
    parts += [bar(TOP_SPACE + STEP * i, row, value) for i, (row, value) in enumerate(values)]
    parts += [line(LABEL + SCALE * goal, bottom, "goal", "4 3"), line(LABEL + SCALE, bottom, "kvm", "none"), "</svg>"]
    return "\n".join(parts) + "\n"
