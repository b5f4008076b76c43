#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""make lab: boots an emulated machine, runs a command (or a shell) in it and exits with its status.

Taken from the environment: VENDOR CMD SHARE SMP MEM KVM DEBUG KERNEL DEBUG_KERNEL MODEL TIMEOUT APPEND PARAMS GUEST VIRT LINK
"""
import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import termios
import time
import tty

import machine
from machine import LAB, TOP, LabError, Machine, say

DIED, TIMED_OUT, COMPLAINED = 125, 124, 123


def setting(name, default=""):
    return os.environ.get(name) or default


def number(name, default):
    text = setting(name, str(default))
    try:
        value = int(text.rstrip("MG")) * (1024 if text.endswith("G") else 1)
    except ValueError:
        raise LabError("%s=%s is not a number" % (name, text)) from None
    if value < 0:
        raise LabError("%s=%s is negative" % (name, text))
    return value


def run_quietly(command, failure):
    """Output only if it fails: these run before every boot."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout.decode(errors="replace"))
        raise LabError(failure)


def make_stage(vendor, module, mode, job, files=(), params="", debug=False):
    """The directory that becomes /lab: the session's scripts, the module (@debug: its debug build), vmrun, and what the
    caller adds."""
    stage = tempfile.mkdtemp(prefix="stage.", dir=Machine.run_root())
    os.mkdir(stage + "/bin")
    for name in ("session", "load"):
        shutil.copy(os.path.join(LAB, name), stage)
    if module in ("vmm", "none") and os.path.exists(module_path(debug)):
        shutil.copy(module_path(debug), stage + "/vmm.ko")
    if os.path.exists(vmrun_path()):
        shutil.copy(vmrun_path(), stage + "/bin/vmrun")
    for source, name in files:
        os.makedirs(os.path.dirname(os.path.join(stage, name)), exist_ok=True)
        shutil.copy(source, os.path.join(stage, name))
    size = os.get_terminal_size() if mode == "shell" else os.terminal_size((80, 24))
    env = {"LAB_MODULE": module, "LAB_VENDOR": vendor, "LAB_MODE": mode,
           "LAB_PARAMS": params or setting("PARAMS"), "VMM_DEVICE": "/dev/kvm" if module == "kvm" else "/dev/vmm",
           "TEST_SLOW": machine.SLOW, "LAB_COLS": size.columns, "LAB_ROWS": size.lines}
    with open(stage + "/env", "w", encoding="utf-8") as f:
        for key, value in env.items():
            f.write("export %s=%s\n" % (key, shlex.quote(str(value))))
    with open(stage + "/job", "w", encoding="utf-8") as f:
        f.write(job + "\n")
    return stage


def debug_always():
    """The debug build of the module, whatever a test asks for."""
    return setting("DEBUG", "0") != "0"


def build_dir(what, suffix=""):
    script = '. %s/env.sh; VMM_BUILD=%s build_dir %s' % (shlex.quote(LAB), suffix, what)
    done = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, check=True, text=True)
    return done.stdout.strip()


def module_path(debug=False):
    return build_dir('"$(lab_kernel)"', "-debug" if debug or debug_always() else "") + "/vmm.ko.lab"


def vmrun_path():
    return build_dir("userspace") + "/vmrun"


def build_module(debug=False):
    how = ["debug"] if debug or debug_always() else []
    run_quietly([LAB + "/build-module", *how], "vmm.ko does not build (see above); KVM=1 runs the lab on the stock modules")


def build(module):
    if module == "vmm":
        build_module()
    done = subprocess.run([LAB + "/build-userspace"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        say("vmrun does not build (make userspace shows why); going on without it")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(vmrun_path())


def relay(box, interactive, timeout, output=None):
    """Moves bytes both ways until the machine is done."""
    output = output or sys.stdout.buffer
    limit = time.monotonic() + timeout if timeout else None
    keyboard = sys.stdin.fileno() if interactive else None
    alive = True
    while alive:
        data, _, alive = box.poll(0.1, keyboard)
        output.write(data)
        output.flush()
        if alive and limit and time.monotonic() > limit:
            say("no end after %d s; the last lines of its console:" % timeout)
            sys.stderr.write(box.last_words() + "\n")
            return TIMED_OUT
    output.write(box.drain())
    output.flush()
    if box.status is None:
        say("the machine died; the last lines of its console:")
        sys.stderr.write(box.last_words() + "\n")
        return DIED
    if box.trouble:
        say("the machine's kernel complained: %s" % box.trouble)
        sys.stderr.write(box.last_words() + "\n")
    return box.status or (COMPLAINED if box.trouble else 0)


# What libvirt needs to be tried by hand
LIBVIRT = [(TOP + "/selftests/libvirt/start", "bin/start-libvirt"), (TOP + "/selftests/libvirt/guest.xml", "guest.xml")]


def main():
    vendor = setting("VENDOR", "amd")
    if vendor not in machine.APPEND:
        raise LabError("VENDOR=%s: there are two machines, amd and intel" % vendor)
    command = setting("CMD")
    interactive = not command
    if interactive and not sys.stdin.isatty():
        raise LabError("no CMD, and no terminal for a shell")
    share = setting("SHARE") or None
    if share and not os.path.isdir(share):
        raise LabError("SHARE=%s is not a directory" % share)
    module = "kvm" if setting("KVM", "0") != "0" else setting("MODULE", "vmm")
    guest, virt = setting("GUEST", "0"), setting("VIRT", "0") != "0"
    guest = {"0": None, "1": True}.get(guest, guest)
    set_up(*images({guest}, virt))
    build(module)
    stage = make_stage(vendor, module, "shell" if interactive else "command", command, LIBVIRT if virt else ())
    box = None
    try:
        box = Machine(vendor, stage, smp=number("SMP", 1), mem=number("MEM", 0), share=share,
                      append=setting("APPEND"), guest=guest, cpu=setting("MODEL") or None, virt=virt, link=setting("LINK") or None)
        box.start()
        if interactive:
            say("booting the %s machine; exit leaves it" % vendor)
            with raw_terminal():
                return relay(box, True, 0)
        return relay(box, False, number("TIMEOUT", 0))
    finally:
        if box:
            box.stop()
        shutil.rmtree(stage, ignore_errors=True)


def images(guests, virt):
    """Steps of setup.sh for machines with these guests: True, names or None."""
    steps = ["kernel", "machine"]
    for guest in guests - {None}:
        steps += ["guest", "guest" if guest is True else guest]
    return steps + (["virt", "bootdisk"] if virt else [])


def set_up(*steps):
    if subprocess.run([LAB + "/setup.sh", *steps], check=False).returncode:
        raise LabError("")


@contextlib.contextmanager
def raw_terminal():
    """The user's terminal passes everything on to the machine, and is itself again afterwards."""
    saved = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, saved)


def guarded(run):
    try:
        sys.exit(run())
    except LabError as error:
        say(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    guarded(main)
