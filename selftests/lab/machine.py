# SPDX-License-Identifier: GPL-2.0-only
"""The two emulated machines: starting them, following what they say, noticing when they die.

Each machine has three ways out: the kernel's console (a file), the job's terminal (bytes as they come) and a control
channel (lines: "up", whatever the job writes to /lab/ctl, "exit STATUS").
"""
import contextlib
import ctypes
import fcntl
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tty

LAB = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(LAB))
CACHE = os.path.abspath(os.environ.get("VMM_CACHE") or "/var/cache/vmm")
os.environ["VMM_CACHE"] = CACHE
MB = 1 << 20

# What a bad day of the emulator can look like as well
STALLS = (rb"soft lockup|hard LOCKUP|rcu: INFO: rcu_\w+ (self-)?detected|rcu_\w+ kthread starved|blocked for more than"
          rb"|INFO: task .* blocked")
STALL = re.compile(STALLS)
# What the emulated host's console must never say.
TROUBLE = re.compile(
    STALLS + rb"|Kernel panic|Oops:|BUG: (?!KCSAN)|WARNING: CPU|kernel BUG at|general protection fault"
    rb"|list_(add|del) corruption|UBSAN:|KASAN:|Bad page state|scheduling while atomic|ODEBUG:|lab: leaked"
    rb"|WARNING: (possible|suspicious|bad|inconsistent|lock held|Nested|held|\S+:\d+ at )|WARNING: .*-unsafe lock order"
    rb"|still has locks held|chain_key collision|INFO: trying to register non-static"
    rb"|BUG \S+ \((Not tainted|Tainted)|pagealloc: (memory corruption|single bit error)"
    rb"|unchecked MSR access|refcount_t: |corrupted stack end|vmm: internal promise broken")
# The kernel has data races of its own, which it knows of. In a report the line after this one tells who made the access, a plain one.
RACE = re.compile(rb"\b(read|write)( \(reordered\))? to 0x\w+ of \d+ bytes by")
# A kernel that looks for mistakes (DEBUG_KERNEL=) takes its time.
SLOW = 5 if os.environ.get("DEBUG_KERNEL", "0") not in ("", "0") else 1
FATAL = re.compile(rb"Kernel panic - not syncing|---\[ end Kernel panic")

COMMON_APPEND = ("console=ttyS0,115200 panic=-1 quiet nokaslr security=none apparmor=0 audit=0 nmi_watchdog=0 "
                 "no_timer_check cryptomgr.notests random.trust_cpu=on "
                 "initcall_blacklist=jent_mod_init,load_system_certificate_list,init_kprobe_trace,sed_opal_init ")
APPEND = {
    "amd": "tsc=reliable lab.root=vda lab.out=hvc0 lab.ctl=vport0p2 ",
    # 50 MHz is the pace at which the Bochs clock really runs; without it each emulated second costs 3.5 G ticks.
    "intel": "mitigations=off tsc=reliable tsc_early_khz=50000 rodata=off "
             "initcall_blacklist=itmt_legacy_init lab.root=pmem0 lab.out=ttyS1 lab.ctl=ttyS2 ",
}
# No run takes so many seconds.
LEFT_BEHIND = 2 * 86400
DEFAULT_MEM = {"amd": 3072, "intel": 2048}
MOST_MEM = {"amd": 1 << 20, "intel": 2048}      # Bochs's own bound

# Bochs: what lies where in physical memory
KERNEL_ADDR, INITRD_ADDR, IMAGE_ADDR, BLOCK = 16 * MB, 128 * MB, 320 * MB, 8 * MB

BOCHSRC = """config_interface: textconfig
display_library: term
memory: guest={mem}, host={mem}, block_size=8192
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
cpu: model={model}, count={smp}, ips=50000000, reset_on_triple_fault=0
ata0-master: type=disk, path={dir}/boot.img, mode=flat
boot: disk
com1: enabled=1, mode=file, dev={dir}/console
com2: enabled=1, mode=term, dev={tty}
com3: enabled=1, mode=file, dev={dir}/ctl
clock: sync=none, time0=946684800
log: {dir}/bochs.log
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
optramimage1: file={dir}/ram, address={kernel:#x}
optramimage2: file={dir}/cmdline, address=0x20000
"""


class LabError(Exception):
    """Something that the user is told in one line; without a text, has been told."""


def say(text):
    if not text:
        return
    print("lab: " + text, file=sys.stderr, flush=True)


def in_tree(dirs, command):
    return [os.path.join(LAB, "in-tree"), "trixie", *dirs, "--", *command]


def lab_kernel():
    script = ". %s/env.sh; lab_kernel" % shlex.quote(LAB)
    done = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, check=False, text=True)
    if done.returncode:
        raise LabError("no such kernel in the lab")
    return done.stdout.strip()


def try_lock(file):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False


def take_slots(count=1):
    """Of the two places for an emulator on this machine; more of them would starve each other's timers."""
    os.makedirs(CACHE + "/slots", exist_ok=True)
    queue, *slots = [open("%s/slots/%s" % (CACHE, name), "w", encoding="ascii") for name in ("queue", "0", "1")]
    told, taken = False, []
    # First come, first served: only the head of the queue looks for a place. Who wants both stays there until it has them:
    # two that had one each would wait for ever.
    if not try_lock(queue):
        say("both emulator slots are busy; waiting")
        told = True
        fcntl.flock(queue, fcntl.LOCK_EX)
    while True:
        for slot in slots:
            if len(taken) < count and slot not in taken and try_lock(slot):
                taken.append(slot)
        if len(taken) == count:
            queue.close()
            return taken
        if not told:
            say("%s busy; waiting" % ("an emulator slot is" if taken else "both emulator slots are"))
            told = True
        time.sleep(0.2)


def take_end(link):
    """One of the two ends of the wire of that name: its number, 1 or 2, and the file whose lock keeps it."""
    if not re.fullmatch(r"[\w-]+", link):
        raise LabError("LINK=%s: letters, digits, - and _ make a wire's name" % link)
    os.makedirs(CACHE + "/links", exist_ok=True)
    for end in (1, 2):
        file = open("%s/links/%s.%d" % (CACHE, link, end), "w", encoding="ascii")
        if try_lock(file):
            return end, file
    raise LabError("LINK=%s: both ends of that wire are taken" % link)


def die_with_parent():
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)      # PR_SET_PDEATHSIG


class Follower:
    """Complete lines of a growing file."""

    def __init__(self, path):
        open(path, "ab").close()
        self.file = open(path, "rb")
        self.rest = b""

    def lines(self):
        data = self.rest + self.file.read().replace(b"\r", b"")
        *lines, self.rest = data.split(b"\n")
        return lines


class Machine:
    """One boot of an emulated machine. stage: a directory whose content appears as /lab in it. cr8: of guests that
    write CR8, for which QEMU has to be repaired. count: its TSC counts
    instructions (in Bochs it always does). plugin: a shared object for QEMU, which writes self.dir/counts.
    trace: so many times Bochs tells all instructions between one XCHG BX,BX and the next, in self.dir/trace.
    link: the name of a wire to another machine. slot: one taken before, for who needs more than one."""

    def __init__(self, vendor, stage, *, smp=1, mem=None, share=None, append="", guest=False, cpu=None,
                 virt=False, cr8=False, count=False, plugin=None, trace=0, link=None, slot=None):
        self.vendor, self.stage, self.smp, self.share, self.guest = vendor, stage, smp, share, guest
        self.mem = mem or DEFAULT_MEM[vendor]
        if self.mem > MOST_MEM[vendor]:
            raise LabError("MEM=%d is too much: the %s machine has up to %d" % (self.mem, vendor, MOST_MEM[vendor]))
        if link and vendor != "amd":
            raise LabError("LINK=%s: only the amd machine has a network card" % link)
        self.link = link
        self.end, self.end_lock = take_end(link) if link else (None, None)
        self.kernel = lab_kernel()
        self.boot = "%s/machine/%s" % (CACHE, self.kernel)
        self.append = COMMON_APPEND + APPEND[vendor] + "lab.vendor=%s " % vendor + append
        self.cpu = cpu
        self.root = self.boot + ("/virt.img" if virt else "/root.img")
        self.qemu = "qemu-lab" if cr8 else "qemu-system-x86_64"
        self.virt, self.count, self.plugin, self.trace = virt, count, plugin, trace
        self.process = None
        self.status = None          # exit status that the job reported
        self.trouble = None         # first line of trouble on the console
        self.console = []           # its lines so far
        self.dying_since = None
        self.cpu_used = 0
        self.slot = slot or take_slots()[0]
        self.dir = tempfile.mkdtemp(prefix="run.", dir=self.run_root())
        if guest:
            self.guest = "%s/guest/%s.img" % (CACHE, "guest" if guest is True else guest)
            self.append += " lab.guest=%s" % ("vdb" if vendor == "amd" else "pmem1")

    @staticmethod
    def run_root():
        path = CACHE + "/runs"
        os.makedirs(path, exist_ok=True)
        # What killed runs have left
        for entry in os.scandir(path):
            # Others clean up behind themselves meanwhile.
            with contextlib.suppress(FileNotFoundError):
                if entry.is_dir(follow_symlinks=False) and time.time() - entry.stat().st_mtime > LEFT_BEHIND:
                    shutil.rmtree(entry.path, ignore_errors=True)
        return path

    def start(self):
        stage_cpio = self.pack_stage()
        self.ctl = Follower(self.dir + "/ctl")
        self.log = Follower(self.dir + "/console")
        self.out, theirs = pty.openpty()
        tty.setraw(self.out)
        tty.setraw(theirs)
        starter = self.start_amd if self.vendor == "amd" else self.start_intel
        starter(stage_cpio, theirs)
        os.close(theirs)

    def spawn(self, command, dirs, **how):
        self.process = subprocess.Popen(in_tree(dirs, command), preexec_fn=die_with_parent, **how)

    def pack_stage(self):
        """The stage (and on the Intel machine the share) as a second part of the initrd."""
        root = self.dir + "/cpio"
        os.mkdir(root)
        shutil.copytree(self.stage, root + "/lab", symlinks=True)
        if self.share and self.vendor == "intel":
            shutil.copytree(self.share, root + "/share", symlinks=True)
        path = self.dir + "/initrd"
        shutil.copyfile(self.boot + "/initrd", path)
        script = 'cd "$1/cpio" && find . | cpio -o -H newc -R 0:0 --quiet >>"$1/initrd"'
        done = subprocess.run(in_tree([self.dir], ["sh", "-c", script, "sh", self.dir]), check=False)
        if done.returncode:
            raise LabError("could not pack the files for the machine")
        shutil.rmtree(root)
        return path

    def start_amd(self, initrd, tty_fd):
        # One emulated CPU unless asked: with two, QEMU's SVM breaks as soon as both are in guest mode.
        append = self.append
        # A debug kernel unpacks itself.
        kernel = next(path for path in (self.boot + "/vmlinuz", self.boot + "/vmlinux") if os.path.exists(path))
        accel = ["tcg,thread=single", "-icount", "shift=0,sleep=off"] if self.count else ["tcg,thread=multi"]
        command = [self.qemu, "-M", "pc", "-accel", *accel, "-cpu", self.cpu or "EPYC-v4",
                   "-smp", str(self.smp), "-m", "%dM" % self.mem, "-nodefaults", "-no-user-config", "-no-reboot",
                   "-display", "none", "-kernel", kernel, "-initrd", initrd,
                   "-serial", "file:%s/console" % self.dir,
                   "-drive", "file=%s,format=raw,if=virtio,readonly=on" % self.root,
                   "-device", "virtio-serial-pci",
                   "-chardev", "stdio,id=out,signal=off", "-device", "virtconsole,chardev=out,nr=1",
                   "-chardev", "file,id=ctl,path=%s/ctl" % self.dir, "-device", "virtserialport,chardev=ctl,nr=2"]
        dirs = [self.dir]
        if self.plugin:
            shutil.copy(self.plugin, self.dir + "/plugin.so")
            command += ["-plugin", "%s/plugin.so,counts=%s/counts" % (self.dir, self.dir)]
        if self.guest:
            command += ["-drive", "file=%s,format=raw,if=virtio,snapshot=on" % self.guest]
            # What firmware boots from: /dev/vdc
            if self.virt:
                command += ["-drive", "file=%s/guest/boot.img,format=raw,if=virtio,snapshot=on" % CACHE]
        if not self.count:
            append += " lab.kick=1"
        if self.link:
            append += " lab.link=%d" % self.end
            command += self.network_card()
        if self.share:
            append += " lab.share=1"
            dirs.append(self.share)
            command += ["-fsdev", "local,id=share,path=%s,security_model=none" % os.path.realpath(self.share),
                        "-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]
        self.spawn(command + ["-append", append], dirs, stdin=tty_fd, stdout=tty_fd,
                   stderr=open(self.dir + "/emulator.log", "wb"))

    def network_card(self):
        """Its cable is a socket: the first end listens there, the second calls until somebody answers."""
        side = "server=on" if self.end == 1 else "server=off,reconnect-ms=200"
        return ["-netdev", "stream,id=link,%s,addr.type=unix,addr.path=%s/links/%s" % (side, CACHE, self.link),
                "-device", "virtio-net-pci,netdev=link,mac=52:54:00:00:00:%02x,romfile=" % self.end]

    def start_intel(self, initrd, tty_fd):
        images = [self.root] + ([self.guest] if self.guest else [])
        append, end = self.append, IMAGE_ADDR
        for image in images:
            size = -(-os.path.getsize(image) // BLOCK) * BLOCK
            append += " memmap=%#x!%#x" % (size, end)
            end += size
        if end + 256 * MB > self.mem * MB:
            raise LabError("MEM=%d is too small for the machine's images" % self.mem)
        self.write_ram(initrd, images)
        with open(self.dir + "/cmdline", "wb") as f:
            f.write(append.encode() + b"\0")
        self.write_boot_disk(os.path.getsize(initrd), end)
        with open(self.dir + "/bochsrc", "w", encoding="ascii") as f:
            f.write(BOCHSRC.format(dir=self.dir, mem=self.mem, smp=self.smp, tty=os.ttyname(tty_fd),
                                   model=self.cpu or "corei7_skylake_x", kernel=KERNEL_ADDR))
        command, stdout = ["bochs-bin" if self.trace else "bochs-lab", "-q", "-f", self.dir + "/bochsrc"], subprocess.DEVNULL
        if self.trace:
            stdout = open(self.dir + "/trace", "wb")
            command += self.debugger()
        self.spawn(command, [self.dir], stdin=subprocess.DEVNULL, stdout=stdout, stderr=open(self.dir + "/emulator.log", "wb"),
                   env=dict(os.environ, TERM="vt100"))

    def debugger(self):
        with open(self.dir + "/bochsrc", "a", encoding="ascii") as f:
            f.write("magic_break: enabled=1\n")
        with open(self.dir + "/rc", "w", encoding="ascii") as f:
            f.write("c\ntrace on\nc\ntrace off\n" * self.trace + "c\n")
        return ["-debugger", "-rc", self.dir + "/rc"]

    def write_ram(self, initrd, images):
        """All memory content from KERNEL_ADDR on, with the hole of two blocks behind the first that boot.S explains."""
        def place(f, path, address):
            offset = address - KERNEL_ADDR
            with open(path, "rb") as source:
                f.seek(offset)
                head = BLOCK - offset if offset < BLOCK else 0
                f.write(source.read(head))
                f.seek(2 * BLOCK + offset + head)
                while os.sendfile(f.fileno(), source.fileno(), None, 1 << 30):
                    pass

        with open(self.dir + "/ram", "wb", buffering=0) as f:
            place(f, self.boot + "/kernel.flat", KERNEL_ADDR)
            place(f, initrd, INITRD_ADDR)
            address = IMAGE_ADDR
            for image in images:
                place(f, image, address)
                address = -(-(address + os.path.getsize(image)) // BLOCK) * BLOCK
            f.truncate(2 * BLOCK + address - KERNEL_ADDR)

    def write_boot_disk(self, initrd_size, end):
        with open(self.boot + "/pvh_entry", encoding="ascii") as f:
            entry = f.read().strip()
        script = ('cd "$1" && cc -m32 -c -x assembler-with-cpp -DNBLK=$2 -DPVH_ENTRY=$3 -DINITRD_ADDR=$4 '
                  '-DINITRD_SIZE=$5 "$6/boot.S" -o boot.o && '
                  'ld -m elf_i386 -Ttext 0x7c00 --oformat binary boot.o -o boot.img && truncate -s 2064384 boot.img')
        blocks = (end - KERNEL_ADDR) // BLOCK - 1
        done = subprocess.run(in_tree([self.dir, LAB], ["sh", "-c", script, "sh", self.dir, str(blocks), entry,
                                                        str(INITRD_ADDR), str(initrd_size), LAB]), check=False)
        if done.returncode:
            raise LabError("could not build the Bochs boot sector")

    def poll(self, seconds, keyboard=None):
        """Waits for up to this time; returns (bytes of the job, lines of control, alive?)."""
        watched = [self.out] + ([keyboard] if keyboard is not None else [])
        ready, _, _ = select.select(watched, [], [], seconds)
        data = b""
        if self.out in ready:
            try:
                data = os.read(self.out, 65536)
            except OSError:
                time.sleep(seconds)
        if keyboard is not None and keyboard in ready:
            os.write(self.out, os.read(keyboard, 4096))
        self.read_console()
        lines = [line.decode(errors="replace") for line in self.ctl.lines()]
        for line in lines:
            if line.startswith("exit "):
                self.status = int(line.split()[1])
        return data, lines, self.alive()

    def read_console(self):
        for line in self.log.lines():
            self.console.append(line)
            if self.trouble is None and self.is_trouble(len(self.console) - 1):
                self.trouble = line.decode(errors="replace")
            if FATAL.search(line) and self.dying_since is None:
                self.dying_since = time.monotonic()

    def is_trouble(self, at):
        """The console's line of that number, by itself or by the line before it."""
        line, before = self.console[at], self.console[at - 1] if at else b""
        return bool(TROUBLE.search(line) or (b"[vmm]" in line and RACE.search(before)))

    def alive(self):
        if self.status is not None or self.process.poll() is not None:
            return False
        # A panicked machine gets a moment to finish what it has to say.
        return self.dying_since is None or time.monotonic() - self.dying_since < 3

    def cpu_seconds(self):
        """Processor time that the emulator has used: unlike the clock's, it does not grow with the load of this machine."""
        # One that has ended and was waited for has no entry any more.
        if self.process.poll() is None:
            with open("/proc/%d/stat" % self.process.pid, encoding="ascii") as f:
                fields = f.read().rpartition(")")[2].split()
            self.cpu_used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return self.cpu_used

    def drain(self):
        """What the job wrote before the end was noticed."""
        data, quiet = b"", 0
        while quiet < 2:
            more, _, _ = self.poll(0.1)
            data += more
            quiet = 0 if more else quiet + 1
        return data

    def last_words(self, count=100):
        text = b"\n".join(self.console[-count:]).decode(errors="replace")
        for name in ("emulator.log", "bochs.log"):
            path = os.path.join(self.dir, name)
            if not os.path.exists(path):
                continue
            with open(path, "rb") as f:
                bad = [line for line in f.read().decode(errors="replace").splitlines()
                       if "PANIC" in line or name == "emulator.log" and "TCG doesn't support" not in line]
            text += "".join("\n[%s] %s" % (name, line) for line in bad[-8:] if line.strip())
        return text

    def stop(self):
        """SIGKILL to the real pid: Bochs does not listen to anything less."""
        if self.process:
            self.process.kill()
            self.process.wait()
            os.close(self.out)
        shutil.rmtree(self.dir, ignore_errors=True)
        self.slot.close()
        if self.end_lock:
            self.end_lock.close()
