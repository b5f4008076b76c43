#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""make run: boots a Debian guest with vmrun, on this machine's own processor or inside an emulated one.

With a terminal the user gets the guest's shell. Without, the guest reports what it is and has, writes to its disk and
powers off, and the exit status is 0 only if all of that was seen. Environment: VENDOR KVM CPUS GUEST_MEM HERE=0|1.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import lab
import machine
from machine import CACHE, TOP, LabError, Machine, say

COMMAND = ("vmrun run --kernel {guest}/vmlinuz --initrd {guest}/initrd --append \"$(cat {guest}/append){job}\" "
           "--cpus {cpus} --mem {mem} --disk {guest}/disk.img --net user --device {device}")
# What must be seen of a guest that reports by itself
SIGNS = {"its banner": rb"^guest: banner: Debian GNU/Linux", "uname -a": rb"^guest: uname: Linux ",
         "nproc": rb"^guest: nproc: [1-9]", "free -m": rb"^guest: free: Mem: ",
         "its disk": rb"^guest: disk: .*written and read back", "the network": rb"^guest: net: .* answers",
         "a clean end": rb"^guest-job: exit 0"}
LIMIT = {"amd": 420, "intel": 900}


def judge(output, status):
    """Exit status of the whole: 0 if the guest did everything and the launcher was content."""
    output = output.replace(b"\r", b"")
    missing = [name for name, sign in SIGNS.items() if not re.search(sign, output, re.M)]
    if missing:
        say("the guest did not show: " + ", ".join(missing))
    if status:
        say("vmrun ended with status %d" % status)
    return 1 if missing or status else 0


def holder():
    """The stock module that keeps the processor's virtualization to itself: since Linux 6.12 from when it is loaded."""
    try:
        with open("/sys/module/kvm/parameters/enable_virt_at_load", encoding="ascii") as f:
            if f.read().strip() != "Y":
                return None
    except OSError:
        return None
    return next((name for name in ("kvm_intel", "kvm_amd") if os.path.isdir("/sys/module/" + name)), None)


def hardware():
    """Does this machine have the hardware and the kernel headers to do without an emulated one?"""
    if os.environ.get("HERE"):
        return os.environ["HERE"] == "1"
    if lab.setting("VENDOR") or lab.setting("KVM", "0") != "0":
        return False
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        flags = re.search(r"^flags\s*:.*\b(vmx|svm)\b", f.read(), re.M)
    if not flags or not os.path.isdir("/lib/modules/%s/build" % os.uname().release):
        return False
    module = holder()
    if module:
        say("%s holds this machine's processor (rmmod it first to run there): an emulated one is taken" % module)
    return not module


def command_line(guest, device, interactive):
    job = "" if interactive else " vmm.job=guest-report"
    # Bochs with two CPUs breaks a kernel that chose its own addresses, under the stock modules just the same.
    if lab.setting("VENDOR") == "intel" and lab.number("SMP", 1) > 1:
        job += " nokaslr"
    return COMMAND.format(guest=guest, job=job, cpus=lab.number("CPUS", 1), mem=lab.setting("GUEST_MEM", "256M"),
                          device=device)


def tell(interactive):
    if interactive:
        say("the guest boots; log in happens by itself; poweroff ends it, Ctrl-a x leaves at once")


def run_here(interactive):
    """On the real processor, with the module loaded for this run unless it is there already."""
    lab.set_up(*lab.images({True}, False))
    lab.build("none")
    loaded = os.path.exists("/dev/vmm")
    if not loaded:
        lab.run_quietly(["make", "-s", "-C", TOP, "module"], "vmm.ko does not build for this machine's kernel")
        lab.run_quietly(["insmod", TOP + "/vmm.ko"], "vmm.ko could not be loaded (its reason is in dmesg)")
    scratch = tempfile.mkdtemp(prefix="guest.", dir=Machine.run_root())
    try:
        shutil.copyfile(CACHE + "/guest/guest.img", scratch + "/guest.img")
        os.mkdir(scratch + "/guest")
        subprocess.run(["mount", "-o", "loop", scratch + "/guest.img", scratch + "/guest"], check=True)
        line = "PATH=%s:$PATH; %s" % (os.path.dirname(lab.vmrun_path()),
                                      command_line(scratch + "/guest", "/dev/vmm", interactive))
        command = machine.in_tree([scratch], ["sh", "-c", line])
        tell(interactive)
        if interactive:
            return subprocess.run(command, check=False).returncode
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False, timeout=LIMIT["amd"])
        sys.stdout.buffer.write(done.stdout)
        return judge(done.stdout, done.returncode)
    finally:
        subprocess.run(["umount", scratch + "/guest"], check=False)
        shutil.rmtree(scratch, ignore_errors=True)
        if not loaded:
            subprocess.run(["rmmod", "vmm"], check=False)


def run_emulated(vendor, interactive):
    module = "kvm" if lab.setting("KVM", "0") != "0" else "vmm"
    lab.set_up(*lab.images({True}, False))
    lab.build(module)
    if not os.path.exists(lab.vmrun_path()):
        raise LabError("vmrun does not build")
    device = "/dev/kvm" if module == "kvm" else "/dev/vmm"
    stage = lab.make_stage(vendor, module, "console" if interactive else "command",
                           command_line("/guest", device, interactive))
    box = None
    try:
        box = Machine(vendor, stage, smp=lab.number("SMP", 1), mem=lab.number("MEM", 0), guest=True,
                      append=lab.setting("APPEND"), cpu=lab.setting("MODEL") or None)
        box.start()
        say("booting the emulated %s machine, in which the guest will run" % vendor)
        tell(interactive)
        if interactive:
            with lab.raw_terminal():
                return lab.relay(box, True, 0)
        output = Tee()
        status = lab.relay(box, False, lab.number("TIMEOUT", LIMIT[vendor]), output)
        # Of the kernel's complaint relay() has told; it is not vmrun's.
        return judge(output.seen, 0 if status == lab.COMPLAINED else status) or (1 if box.trouble else 0)
    finally:
        if box:
            box.stop()
        shutil.rmtree(stage, ignore_errors=True)


class Tee:
    """Passes on to stdout and remembers."""

    def __init__(self):
        self.seen = b""

    def write(self, data):
        self.seen += data
        sys.stdout.buffer.write(data)

    @staticmethod
    def flush():
        sys.stdout.buffer.flush()


def main():
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    began = time.monotonic()
    if hardware():
        status = run_here(interactive)
    else:
        vendor = lab.setting("VENDOR", "amd")
        if vendor not in machine.APPEND:
            raise LabError("VENDOR=%s: there are two machines, amd and intel" % vendor)
        status = run_emulated(vendor, interactive)
    if not interactive:
        say("%s in %d s" % ("the guest did all it should" if status == 0 else "failed", time.monotonic() - began))
    return status


if __name__ == "__main__":
    lab.guarded(main)
