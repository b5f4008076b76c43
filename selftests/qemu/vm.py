# SPDX-License-Identifier: GPL-2.0-only
"""One QEMU under test: its command line, its console, its monitor; and KTAP's words.

QEMU is the distribution's, unmodified. The device node comes from VMM_DEVICE, so that each test also runs on stock KVM.
"""
import atexit
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

DEVICE = os.environ.get("VMM_DEVICE", "/dev/vmm")
GUEST = os.environ.get("VMM_GUEST", "/guest")
PROMPT = rb"root@guest:[^\n]*# $"
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|[\r\0]")
# What a guest's console must not say, whatever the test.
BAD = re.compile(rb"Kernel panic|Oops:|BUG: |WARNING: CPU|soft lockup|rcu: INFO: rcu_\w+ (self-)?detected"
                 rb"|clocksource: .* skewed|unchecked MSR access")

_count = 0
_failed = 0


def note(text):
    for line in str(text).splitlines():
        print("# " + line, flush=True)


def ok(good, name):
    global _count, _failed
    _count += 1
    if not good:
        _failed += 1
    print("%s %d %s" % ("ok" if good else "not ok", _count, name), flush=True)
    return bool(good)


def skip(name, why):
    global _count
    _count += 1
    print("ok %d %s # SKIP %s" % (_count, name, why), flush=True)


def finish():
    print("1..%d" % _count, flush=True)
    sys.exit(1 if _failed else 0)


class Failed(Exception):
    """What was waited for did not come."""


def case(name):
    """Decorator: the function is one named result; an exception in it is a failure that shows what was said last."""
    def wrap(function):
        def run(*args, **keywords):
            began = time.monotonic()
            try:
                good = function(*args, **keywords)
                good = True if good is None else good
            except (Failed, OSError, KeyError, ValueError) as problem:
                note("%s: %s" % (type(problem).__name__, problem))
                good = False
            ok(good, name)
            note("%.1f s" % (time.monotonic() - began))
            return good
        return run
    return wrap


def until(value, wanted, seconds=30):
    """Does value() become what wanted() likes?"""
    limit = time.monotonic() + seconds
    while True:
        now = value()
        if wanted(now):
            return True
        if time.monotonic() > limit:
            note("after %d s it is: %s" % (seconds, now))
            return False
        time.sleep(0.5)


def module_users():
    """Use count of the module that serves the device."""
    with open("/proc/modules", encoding="ascii") as f:
        for line in f:
            name, _, count = line.split()[:3]
            if name in ("vmm", "kvm_amd", "kvm_intel"):
                return int(count)
    return None


def machine(name="q35", irqchip="on", accel="", **options):
    """accel: more properties of the accelerator."""
    extra = "".join(",%s=%s" % (key.replace("_", "-"), value) for key, value in options.items())
    return ["-machine", name + extra, "-accel", "kvm,device=%s,kernel-irqchip=%s%s" % (DEVICE, irqchip, accel)]


def append(job=None, more=""):
    with open(GUEST + "/append", encoding="ascii") as f:
        line = f.read().strip()
    return "%s %s%s" % (line, more, ' vmm.job="%s"' % job if job else "")


def linux(job=None, more="", disk="virtio-blk-pci"):
    """The Debian guest, its kernel loaded by QEMU: with a job it runs that and powers off, else it offers a shell."""
    return ["-kernel", GUEST + "/vmlinuz", "-initrd", GUEST + "/initrd", "-append", append(job, more),
            "-drive", "file=%s/disk.img,format=raw,if=none,id=root,snapshot=on" % GUEST,
            "-device", disk + ",drive=root"]


def flat(args):
    """Lists in lists as one."""
    return [word for arg in args for word in (flat(arg) if isinstance(arg, (list, tuple)) else [arg])]


class Qemu:
    """A running QEMU with its console on a pipe and its monitor on a socket."""

    def __init__(self, *args, mem="256M", cpu="host", smp="1"):
        self.dir = tempfile.mkdtemp(prefix="qemu.")
        self.seen = b""             # all that the console said, without escape sequences
        self.rest = b""
        self.mark = 0               # what wait() has consumed of it
        command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-m", mem, "-cpu", cpu,
                   "-smp", smp, "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
                   "-qmp", "unix:%s/qmp,server=on,wait=off" % self.dir]
        command += flat(args)
        self.errors = open(self.dir + "/errors", "w+b")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                        bufsize=0)
        self.qmp = None
        atexit.register(self.kill)

    # -------- console --------

    def pump(self, seconds):
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready:
            return True
        data = os.read(self.process.stdout.fileno(), 65536)
        self.take(data)
        return bool(data)

    def take(self, data):
        text = ESCAPES.sub(b"", self.rest + data)
        # An escape sequence may come in two parts.
        cut = text.rfind(b"\x1b", max(0, len(text) - 16)) if data else -1
        self.rest = text[cut:] if cut >= 0 else b""
        self.seen += text[:cut] if cut >= 0 else text

    def wait(self, pattern, seconds):
        """Until the console says it (from where the last wait ended); the match."""
        regex = re.compile(pattern, re.M)
        limit = time.monotonic() + seconds
        while True:
            found = regex.search(self.seen, self.mark)
            if found:
                self.mark = found.end()
                return found
            if time.monotonic() > limit:
                raise Failed("%d s without %r; %s" % (seconds, pattern, self.last_words()))
            if not self.pump(0.2) and self.process.poll() is not None:
                raise Failed("QEMU ended with %s before %r; %s" % (self.process.returncode, pattern, self.last_words()))

    def type(self, text):
        os.write(self.process.stdin.fileno(), text.encode())

    def shell(self, seconds=120):
        """Waits for the guest's shell, and keeps it from wrapping what is typed."""
        self.wait(PROMPT, seconds)
        self.run("stty cols 500", seconds)

    def run(self, command, seconds=60):
        """One command in the guest's shell; what it printed. Its status must be 0."""
        begin = self.mark
        # The echo of the line is no answer: it has the quotes.
        self.type('%s; echo "e""nd=$?"\n' % command)
        end = self.wait(rb"^end=(\d+)$", seconds)
        self.wait(PROMPT, seconds)
        output = self.seen[begin:end.start()].partition(b"\n")[2].decode(errors="replace").strip()
        if end.group(1) != b"0":
            raise Failed("%s: status %s: %s" % (command, end.group(1).decode(), output))
        return output

    def last_words(self):
        self.errors.seek(0)
        errors = self.errors.read().decode(errors="replace").strip()
        return "the console's last lines:\n%s\nQEMU said: %s" % (
            self.seen[-1500:].decode(errors="replace"), errors or "nothing")

    def healthy(self):
        found = BAD.search(self.seen)
        if found:
            note("the guest complained: %s" % self.seen[max(0, found.start() - 100):found.start() + 400].decode(errors="replace"))
        return not found

    # -------- monitor --------

    def connect(self, seconds=60):
        if self.qmp:
            return
        limit = time.monotonic() + seconds
        while True:
            try:
                sock = socket.socket(socket.AF_UNIX)
                sock.connect(self.dir + "/qmp")
                break
            except OSError:
                if time.monotonic() > limit or self.process.poll() is not None:
                    raise Failed("no monitor; " + self.last_words()) from None
                time.sleep(0.1)
        sock.settimeout(120)
        self.socket = sock
        self.qmp = sock.makefile("rb")
        self.events = []
        self.reply()
        self.do("qmp_capabilities")

    def reply(self):
        while True:
            line = self.qmp.readline()
            if not line:
                raise Failed("the monitor is gone; " + self.last_words())
            message = json.loads(line)
            if "event" in message:
                self.events.append(message)
                continue
            return message

    def do(self, command, **arguments):
        """A QMP command; its return value. Underscores in names stand for dashes, but in commands of QMP's own."""
        self.connect()
        message = {"execute": command}
        if arguments:
            message["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.socket.sendall(json.dumps(message).encode() + b"\n")
        answer = self.reply()
        if "error" in answer:
            raise Failed("%s: %s" % (command, answer["error"].get("desc")))
        return answer.get("return")

    def hmp(self, line):
        """A command of the human monitor; its text. A message of failure is for the caller to judge."""
        return self.do("human-monitor-command", command_line=line)

    def event(self, name, seconds=60):
        """Until an event of that name comes (or has come since the last call)."""
        limit = time.monotonic() + seconds
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            if time.monotonic() > limit:
                raise Failed("no event %s" % name)
            self.do("query-status")
            self.pump(0.1)

    # -------- the end --------

    def end(self, seconds=60):
        """Waits until QEMU ends by itself; its status."""
        limit = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() > limit:
                raise Failed("QEMU does not end; " + self.last_words())
            self.pump(0.2)
        while self.pump(0):
            if not select.select([self.process.stdout], [], [], 0)[0]:
                break
        return self.process.returncode

    def quit(self):
        self.do("quit")
        return self.end()

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


def report_seen(qemu, cpus):
    """Did the guest's report (job guest-report) show all that it should?"""
    signs = {"banner": rb"^guest: banner: Debian GNU/Linux", "uname": rb"^guest: uname: Linux guest ",
             "nproc": rb"^guest: nproc: %d$" % cpus, "free": rb"^guest: free: Mem: ",
             "disk": rb"^guest: disk: .*written and read back", "a good end": rb"^guest-job: exit 0$"}
    missing = [name for name, sign in signs.items() if not re.search(sign, qemu.seen, re.M)]
    if missing:
        note("not seen: %s" % ", ".join(missing))
        note(qemu.last_words())
    return not missing
