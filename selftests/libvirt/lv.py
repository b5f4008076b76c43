# SPDX-License-Identifier: GPL-2.0-only
"""Debian's libvirt under test: its daemons, virsh, a domain with its console.

There is no systemd, D-Bus or udev in the machine: daemons are started by hand, root is let in by its uid, and udevd runs
for as long as it takes to treat the device nodes. libvirt knows /dev/kvm only: ours (kvm_node=1) or the stock modules'.
"""
import atexit
import glob
import os
import pty
import pwd
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import uuid
from xml.sax.saxutils import escape

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE + "/../qemu")
import vm               # noqa: E402

OURS = vm.DEVICE != "/dev/kvm"
URI = "qemu:///system"
IMAGES = "/var/lib/libvirt/images"
AUTOSTARTED = "/run/libvirt/qemu/autostarted"
LOG = "/var/log/libvirt/libvirtd.log"
RULES = HERE + "/../../packaging/udev/60-vmm.rules"
PATH = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


# -------- commands --------

def attempt(*command, user=None, seconds=120, env=None):
    """Status of a command and all that it said."""
    how = {"env": dict(os.environ, **(env or {}))}
    if user:
        entry = pwd.getpwnam(user)
        how = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": os.getgrouplist(user, entry.pw_gid),
               "cwd": "/", "env": {"HOME": entry.pw_dir, "PATH": PATH, "LANG": "C.UTF-8",
                                   "XDG_RUNTIME_DIR": "/run/user/%d" % entry.pw_uid}}
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=seconds, check=False, **how)
    except subprocess.TimeoutExpired as late:
        raise vm.Failed("%s: no end within %d s: %s" % (" ".join(command), seconds, late.stdout)) from None
    return done.returncode, done.stdout.decode(errors="replace")


def run(*command, **how):
    """What a command said; it must succeed."""
    status, text = attempt(*command, **how)
    if status:
        raise vm.Failed("%s: status %d: %s" % (" ".join(command), status, text.strip()))
    return text


def virsh(*arguments, uri=URI, **how):
    return run("virsh", "-q", "-c", uri, *arguments, **how)


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


# -------- the host --------

def treat_nodes():
    """Group and mode of the device nodes, by udev itself, with Debian's rules and ours."""
    os.makedirs("/etc/udev/rules.d", exist_ok=True)
    shutil.copy(RULES, "/etc/udev/rules.d")
    daemon = "/run/systemd-udevd"
    if not os.path.lexists(daemon):
        os.symlink("/usr/bin/udevadm", daemon)
    run(daemon, "--daemon")
    try:
        run("udevadm", "trigger", "--action=add", "--settle", *glob.glob("/sys/class/misc/vmm") + ["/sys/class/misc/kvm"])
    finally:
        run("udevadm", "control", "--exit")


def alive(pid):
    try:
        return read("/proc/%d/stat" % pid).rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def start_daemons(*options):
    """Also when only libvirtd has ended."""
    atexit.unregister(stop_daemons)
    atexit.register(stop_daemons)
    run(HERE + "/start", *options)


def stop_daemon(name, seconds=60):
    try:
        pid = int(read("/run/%s.pid" % name))
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        return
    if not vm.until(lambda: alive(pid), lambda lives: not lives, seconds):
        raise vm.Failed(name + " does not end")


def stop_daemons():
    """Also tells what the daemon had to say, if something failed."""
    stop_daemon("libvirtd")
    stop_daemon("virtlogd")
    if vm._failed:
        vm.note("libvirtd's log:")
        vm.note(read(LOG)[-4000:])


# -------- a domain --------

DOMAIN = """<domain type='kvm'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>256</memory>
  <vcpu placement='static' current='1'>2</vcpu>
  {os}
  <features><acpi/><apic/></features>
  {cpu}
  <clock offset='utc'>
    <timer name='rtc' tickpolicy='catchup'/>
    <timer name='pit' tickpolicy='delay'/>
    <timer name='hpet' present='no'/>
  </clock>
  <devices>
    {disks}
    <controller type='pci' model='pcie-root'/>
    {ports}
    <controller type='usb' model='none'/>
    {net}
    <serial type='pty'/>
    <console type='pty'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""

DISK = "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{0}'/>" \
       "<target dev='{1}' bus='virtio'/>{2}</disk>"

USER_NET = "<interface type='user'><model type='virtio'/></interface>"

# What virt-install writes, too: without ports to spare nothing can be plugged into a q35.
PORTS = "<controller type='pci' model='pcie-root-port'/>" * 8


def linux_os(job=None):
    return """<os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{0}/vmlinuz</kernel>
    <initrd>{0}/initrd</initrd>
    <cmdline>{1}</cmdline>
  </os>""".format(vm.GUEST, escape(vm.append(job)))


def overlay(name, base):
    """A qcow2 of its own over an image or a block device that stays as it is."""
    path = "%s/%s.qcow2" % (IMAGES, name)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", path)
    return path


class Console:
    """virsh console on a terminal of its own, read and typed to as a Qemu of vm.py."""
    take, wait, shell = vm.Qemu.take, vm.Qemu.wait, vm.Qemu.shell
    run, healthy = vm.Qemu.run, vm.Qemu.healthy

    def __init__(self, name, uri=URI):
        self.name, self.seen, self.rest, self.mark = name, b"", b"", 0
        self.terminal, theirs = pty.openpty()
        self.process = subprocess.Popen(["virsh", "-c", uri, "console", name, "--force"], stdin=theirs, stdout=theirs,
                                        stderr=theirs, start_new_session=True)
        os.close(theirs)
        self.wait(rb"^Escape character is .*\n", 60)

    def pump(self, seconds):
        ready, _, _ = select.select([self.terminal], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.terminal, 65536)
        except OSError:             # virsh has ended
            return False
        self.take(data)
        return bool(data)

    def type(self, text):
        os.write(self.terminal, text.encode())

    def last_words(self):
        log = "/var/log/libvirt/qemu/%s.log" % self.name
        return "the console's last lines:\n%s\nQEMU's log: %s" % (
            self.seen[-1500:].decode(errors="replace"), read(log)[-1500:] if os.path.exists(log) else "none")

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)


class Domain:
    """A defined domain; its guest is talked to through run(). uri: of the host that it is on."""

    def __init__(self, name):
        self.name = name
        self.uri = URI
        self.console = None

    def define(self, os_xml, disks, cpu="<cpu mode='host-model'/>", net=USER_NET):
        path = "/tmp/%s.xml" % self.name
        with open(path, "w", encoding="utf-8") as f:
            # Defined again under its name, it must be the same domain.
            f.write(DOMAIN.format(name=self.name, uuid=uuid.uuid5(uuid.NAMESPACE_DNS, self.name), os=os_xml, cpu=cpu, net=net,
                                  ports=PORTS, disks="\n    ".join(disks)))
        virsh("define", path)

    def virsh(self, command, *arguments, **how):
        return virsh(command, self.name, *arguments, uri=self.uri, **how)

    def open_console(self):
        if self.console:
            self.console.close()
        self.console = Console(self.name, self.uri)

    def prompt(self):
        """A new console on a guest that waits at its shell's prompt: it has nothing to say until asked."""
        self.open_console()
        limit = time.monotonic() + 60
        while True:
            # virsh throws away what was typed before it took the terminal over.
            self.console.type("\n")
            try:
                self.console.wait(vm.PROMPT, 3)
                break
            except vm.Failed:
                if time.monotonic() > limit or self.console.process.poll() is not None:
                    raise
        # One answer may be two.
        self.console.run("true")

    def run(self, command, seconds=60):
        return self.console.run(command, seconds)

    def state(self):
        return self.virsh("domstate").strip()

    def becomes(self, state, seconds=60):
        return vm.until(self.state, lambda now: now == state, seconds)

    def pid(self):
        return int(read("/run/libvirt/qemu/%s.pid" % self.name))

    def stats(self):
        return dict(line.strip().split("=", 1) for line in self.virsh("domstats").splitlines() if "=" in line)

    def end(self):
        """Whatever it is doing: it leaves nothing behind."""
        if self.console:
            self.console.close()
            self.console = None
        attempt("virsh", "-q", "-c", self.uri, "destroy", self.name)
        attempt("virsh", "-q", "-c", self.uri, "undefine", self.name, "--managed-save", "--snapshots-metadata", "--nvram")
