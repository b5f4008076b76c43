# SPDX-License-Identifier: GPL-2.0-only
"""A busy Debian guest that moves from one QEMU to another, and the proof that it was not harmed.

In the guest runs ./busy, which looks at all it writes to memory, to its disk and to the network, and at all clocks. The guest's
kernel may not complain, and its time may not be longer than the time for which it ran.
"""
import atexit
import json
import os
import re
import shutil
import socket
import struct
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE + "/../qemu")
import vm               # noqa: E402

BUSY = HERE + "/busy"
ECHO_PORT = 7007
RING = 4096
# Rounds through the guest's memory before a move may end: all but the first go by the dirty log. What is dirty after the first
# is much, and most of it not yet there when a guest goes on ahead of its memory.
ROUNDS, POSTCOPY_ROUNDS = 3, 2
# What a guest is if not told otherwise. busy: MB that are rewritten, at rate MB a second.
SETTINGS = {"machine": "q35", "irqchip": "on", "cpu": "host", "smp": "2", "mem": "160", "busy": "48", "rate": "16"}

# QEMU keeps the TSC as it was when the guest was stopped, and kvmclock as it was a little later, on stock KVM just the same. So
# the guest's kernel finds the TSC late by no more than the guest stood still, and stops to trust it. On the Intel machine it is
# early instead, and as much on stock KVM there.
SIGN = "-?" if os.environ.get("LAB_VENDOR") == "intel" else "-"
SKEW = re.compile(r"clocksource: +Clocksource 'tsc' skewed %s\d+ ns \(%s(\d+) ms\) over watchdog 'kvm-clock'" % (SIGN, SIGN))
CLOCKSOURCE = re.compile(r"clocksource: +(timekeeping watchdog on CPU\d+: Marking clocksource 'tsc' as unstable|'(kvm-clock|tsc)' "
                         r"(wd|cs)_nsec: |'kvm-clock' \(not 'tsc'\) is current)")
# What kernels say on a slow machine, moved or not
SLOW = re.compile(r"clocksource: Long readout interval, skipping watchdog check|hrtimer: interrupt took \d+ ns")

# Memory follows a guest that has gone ahead at so many bytes a second, so that it asks for some itself.
SLOWLY = {"max-postcopy-bandwidth": 6 << 20}
# name: capabilities, parameters, what else is so
WAYS = {
    "precopy": {},
    "multifd": {"capabilities": ["multifd"], "parameters": {"multifd-channels": 3}},
    "postcopy": {"capabilities": ["postcopy-ram"], "parameters": SLOWLY},
    "preempt": {"capabilities": ["postcopy-ram", "postcopy-preempt"], "parameters": SLOWLY},
    "ring": {"ring": True},
    "ring-multifd": {"ring": True, "capabilities": ["multifd"], "parameters": {"multifd-channels": 2}},
    "ring-postcopy": {"ring": True, "capabilities": ["postcopy-ram"], "parameters": SLOWLY},
    "xbzrle": {"capabilities": ["xbzrle"]},
    "auto-converge": {"capabilities": ["auto-converge"], "parameters": {"throttle-trigger-threshold": 1}},
}


class Echo(threading.Thread):
    """Sends each datagram back: the other end of the guests' network."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", ECHO_PORT))
        self.start()

    def run(self):
        while True:
            data, sender = self.socket.recvfrom(2048)
            try:
                self.socket.sendto(data, sender)
            except OSError:
                # A QEMU that has ended meanwhile
                pass


# -------- disks --------

def make_overlay(path, backing):
    """An empty qcow2 over a raw file. Not all machines have the tool for it."""
    cluster = 65536
    size = os.path.getsize(backing)
    entries = -(-size // (cluster * (cluster // 8)))
    name, extension = backing.encode(), struct.pack(">II3s5xII", 0xe2792aca, 3, b"raw", 0, 0)
    header = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 72 + len(extension), len(name), 16, size, 0, entries,
                         3 * cluster, cluster, 1, 0, 0)
    with open(path, "wb") as f:
        f.write(header + extension + name)
        f.seek(cluster)
        f.write(struct.pack(">Q", 2 * cluster))
        f.seek(2 * cluster)
        # Header, table of reference counts, their block, table of the disk's clusters
        f.write(struct.pack(">4H", 1, 1, 1, 1))
        f.truncate(4 * cluster)


def make_data(path):
    """The program, and behind it room for what the program does to a disk."""
    shutil.copyfile(BUSY, path)
    os.truncate(path, 16 << 20)


# -------- the guest --------

def event_time(qemu, name):
    """When the last such event came, in seconds of the host's time of day."""
    qemu.do("query-status")
    stamps = [event["timestamp"] for event in qemu.events if event["event"] == name]
    if not stamps:
        raise vm.Failed("no event " + name)
    return stamps[-1]["seconds"] + stamps[-1]["microseconds"] / 1e6


def running(qemu):
    return vm.until(lambda: qemu.do("query-status")["status"], lambda status: status == "running", 60)


class Guest:
    """The guest, whichever QEMU it is in. Its disks are files in a directory."""

    def __init__(self, directory, **settings):
        self.dir = directory
        self.settings = dict(SETTINGS, **settings)
        self.qemu = None
        self.known = 0              # lines in the guest's log before anything was done to it
        self.reading = None         # the guest's time, and between which two of the host's it was
        self.stood = 0              # ms for which it stood still in the longest of its moves
        atexit.register(self.discard)

    def arguments(self, ring):
        s = self.settings
        accel = ",dirty-ring-size=%d" % RING if ring else ""
        return [vm.machine(s["machine"], s["irqchip"], accel),
                "-kernel", vm.GUEST + "/vmlinuz", "-initrd", vm.GUEST + "/initrd", "-append", vm.append(),
                "-drive", "file=%s/root.qcow2,format=qcow2,if=none,id=root" % self.dir,
                "-device", "virtio-blk-pci,drive=root",
                "-drive", "file=%s/data.img,format=raw,if=none,id=data,cache=none" % self.dir,
                "-device", "virtio-blk-pci,drive=data",
                "-nic", "user,model=virtio-net-pci,mac=52:54:00:00:00:01"]

    def new_qemu(self, ring=False, incoming=False):
        s = self.settings
        qemu = vm.Qemu(self.arguments(ring), ["-incoming", "defer"] if incoming else [],
                       cpu=s["cpu"], smp=s["smp"], mem=s["mem"] + "M")
        qemu.connect()
        if ring and not has_ring(qemu):
            raise vm.Failed("QEMU has no dirty ring; " + qemu.last_words())
        return qemu

    def boot(self, ring=False, seconds=400):
        """Until the guest is at work."""
        s = self.settings
        os.makedirs(self.dir, exist_ok=True)
        make_overlay(self.dir + "/root.qcow2", vm.GUEST + "/disk.img")
        make_data(self.dir + "/data.img")
        self.qemu = self.new_qemu(ring)
        self.qemu.shell(seconds)
        self.qemu.run("head -c %d /dev/vdb >/run/busy; chmod +x /run/busy" % os.path.getsize(BUSY), seconds)
        self.qemu.run("/run/busy run /run/state %s %s %s /dev/vdb 10.0.2.2 %d"
                      % (s["busy"], s["smp"], s["rate"], ECHO_PORT), seconds)
        self.qemu.run("echo here >/root/token; sync", seconds)
        self.known = len(self.log())
        self.read_time()

    def log(self):
        """What the guest's kernel complained of since it was booted. It is judged by complaints(), not by what the console said."""
        qemu = self.qemu
        begin = qemu.mark
        lines = qemu.run("dmesg -l emerg,alert,crit,err,warn").splitlines()
        qemu.seen, qemu.mark = qemu.seen[:begin] + qemu.seen[qemu.mark:], begin
        return lines

    def complaints(self):
        """What is new in its log and may not be there."""
        lines = []
        for line in self.log()[self.known:]:
            skew = SKEW.search(line)
            if skew and int(skew.group(1)) > self.stood + 50 or not (skew or CLOCKSOURCE.search(line) or SLOW.search(line)):
                lines.append(line)
        return lines

    def read_time(self):
        before = time.time()
        value = float(self.qemu.run("cut -d ' ' -f 1 /proc/uptime"))
        self.reading = {"value": value, "before": before, "after": time.time(), "ran": (0, 0)}

    def moved(self, source, info):
        """The guest was stopped there: how long has it run since its time was read, at least and at most?"""
        stop = event_time(source, "STOP")
        self.stood = max(self.stood, info["downtime"])
        self.reading["ran"] = (stop - self.reading["after"], stop - self.reading["before"])

    def prove(self, seconds=180):
        """After a move: all is as it was."""
        qemu, old = self.qemu, self.reading
        resumed = event_time(qemu, "RESUME")
        qemu.type("\n")
        qemu.wait(vm.PROMPT, seconds)
        self.read_time()
        new = self.reading
        elapsed = new["value"] - old["value"]
        least, most = old["ran"][0] + new["before"] - resumed, old["ran"][1] + new["after"] - resumed
        vm.note("the guest's time went on by %.2f s; it ran for %.2f to %.2f s" % (elapsed, least, most))
        vm.note(qemu.run("/run/busy check /run/state %d" % seconds, 2 * seconds))
        qemu.run("echo 3 >/proc/sys/vm/drop_caches; grep here /root/token; ping -c 1 -W 20 10.0.2.2", seconds)
        complaints = self.complaints()
        if complaints:
            raise vm.Failed("the guest's kernel complained:\n" + "\n".join(complaints))
        if not least - 1 < elapsed < most + 1:
            raise vm.Failed("the guest's time is wrong")
        return qemu.healthy()

    # -------- moving --------

    def move(self, name, next_ring=False, most_rounds=None):
        """To another QEMU on this host. next_ring: that one has a dirty ring. It takes ROUNDS at least, or as many as it wants,
        up to most_rounds. What query-migrate tells; "let-go" in it: whether it had to be told to come to an end."""
        way = WAYS[name]
        source, target = self.qemu, self.new_qemu(next_ring, incoming=True)
        try:
            uri = "unix:%s/migrate" % target.dir
            for qemu in (source, target):
                set_up(qemu, way)
            target.do("migrate-incoming", uri=uri)
            if not most_rounds:
                hold(source)
            source.do("migrate", uri=uri)
            postcopy = "postcopy-ram" in way.get("capabilities", [])
            info = follow(source, target, most_rounds or (POSTCOPY_ROUNDS if postcopy else ROUNDS), postcopy)
        except BaseException:
            target.kill()
            raise
        self.qemu = target
        self.moved(source, info)
        if not most_rounds and not info["let-go"]:
            raise vm.Failed("it ended by itself: " + summary(info))
        if not running(target):
            raise vm.Failed("the guest does not run after its move; " + target.last_words())
        leave(source)
        set_up(target, way, False)
        return info

    def save(self, uri):
        """Out of this QEMU while it runs, to where the URI says."""
        source = self.qemu
        hold(source)
        source.do("migrate", uri=uri)
        info = follow(source, None, ROUNDS)
        self.moved(source, info)
        notes = {"settings": self.settings, "known": self.known, "reading": self.reading, "stood": self.stood,
                 "cpu": features(source)}
        leave(source)
        with open(self.dir + "/notes", "w", encoding="ascii") as f:
            json.dump(notes, f)
        return info

    def load(self, uri):
        """What save() left behind."""
        with open(self.dir + "/notes", encoding="ascii") as f:
            notes = json.load(f)
        self.settings, self.known, self.reading, self.stood = (notes[key] for key in ("settings", "known", "reading", "stood"))
        self.qemu = self.new_qemu(incoming=True)
        if features(self.qemu) != notes["cpu"]:
            raise vm.Failed("the CPU would be another one: %s, and was %s" % (features(self.qemu), notes["cpu"]))
        self.qemu.do("migrate-incoming", uri=uri)
        if not running(self.qemu):
            raise vm.Failed("the guest does not run after its move; " + self.qemu.last_words())

    def power_off(self, seconds=180):
        self.qemu.do("system_powerdown")
        return self.qemu.end(seconds) == 0 and self.qemu.healthy()

    def discard(self):
        if self.qemu:
            self.qemu.kill()
            shutil.rmtree(self.qemu.dir, ignore_errors=True)
            self.qemu = None


def has_ring(qemu):
    """The rings of its vCPUs are mapped at page 64."""
    with open("/proc/%d/maps" % qemu.process.pid, encoding="ascii") as f:
        return any("vcpu" in line and line.split()[2] == "00040000" for line in f)


def features(qemu):
    """The feature words of its first CPU, as they are after what the host cannot do was taken out."""
    path = qemu.do("query-cpus-fast")[0]["qom-path"]
    words = qemu.do("qom-get", path=path, property="feature-words")
    return sorted("%s.%s.%s=%#x" % (word["cpuid-input-eax"], word.get("cpuid-input-ecx", 0), word["cpuid-register"],
                                    word["features"]) for word in words)


def set_up(qemu, way, on=True):
    names = way.get("capabilities")
    if names:
        qemu.do("migrate-set-capabilities", capabilities=[{"capability": name, "state": on} for name in names])
    if on and "parameters" in way:
        qemu.do("migrate-set-parameters", **way["parameters"])


def leave(source):
    """A QEMU whose guest is gone has nothing more to do."""
    status = source.do("query-status")["status"]
    if status != "postmigrate":
        raise vm.Failed("the source is not through with it: " + status)
    if source.quit():
        raise vm.Failed("the source ended with %d; %s" % (source.process.returncode, source.last_words()))
    shutil.rmtree(source.dir, ignore_errors=True)


def hold(source):
    """A busy guest cannot be moved within a millisecond, so that the move goes on until it is let go."""
    source.do("migrate-set-parameters", downtime_limit=1)


def let_go(source, postcopy):
    if postcopy:
        source.do("migrate-start-postcopy")
    else:
        source.do("migrate-set-parameters", downtime_limit=60000)


def follow(source, target, rounds, postcopy=False, seconds=300):
    """Until the guest is out; after so many rounds it is let go."""
    limit = time.monotonic() + seconds
    gone = False
    while True:
        info = source.do("query-migrate")
        status, count = info.get("status"), info.get("ram", {}).get("dirty-sync-count", 0)
        if status == "completed":
            break
        if status in ("failed", "cancelled", "postcopy-paused") or time.monotonic() > limit:
            raise vm.Failed("migration is %s after %d rounds: %s; %s; the target: %s" % (
                status, count, info.get("error-desc"), source.last_words(), target and target.last_words()))
        if count >= rounds and not gone:
            gone = True
            let_go(source, postcopy)
        source.pump(0.1)
        if target:
            target.pump(0)
    if target and not vm.until(lambda: target.do("query-migrate").get("status"), lambda status: status == "completed", 60):
        raise vm.Failed("the target is not through with it; " + target.last_words())
    return dict(info, **{"let-go": gone})


def summary(info):
    ram = info["ram"]
    return "%d rounds, %.1f MB, %d ms of which %d ms standing still" % (
        ram["dirty-sync-count"], ram["transferred"] / 1e6, info["total-time"], info.get("downtime", 0))
