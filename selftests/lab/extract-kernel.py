#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""extract-kernel.py VMLINUZ OUTDIR: unpacks a bzImage for the two ways of booting it directly.

OUTDIR/vmlinux      the ELF kernel, which QEMU boots by its PVH entry
OUTDIR/kernel.flat  its loadable segments laid out for physical address 0x1000000, for Bochs
OUTDIR/pvh_entry    the physical address of the PVH entry (ELF note 18 of owner Xen)
"""
import os
import struct
import subprocess
import sys

LOAD_BASE = 0x1000000
PT_LOAD, PT_NOTE = 1, 4
XEN_ELFNOTE_PHYS32_ENTRY = 18
UNPACKERS = {b"\x28\xb5\x2f\xfd": ["zstd", "-dcq"], b"\xfd7zX": ["xz", "-dcq"],
             b"\x1f\x8b\x08\x00": ["gzip", "-dcq"]}


def payload(image):
    """The compressed ELF inside a bzImage, found by its setup header (Documentation/arch/x86/boot.rst)."""
    if image[0x202:0x206] != b"HdrS":
        sys.exit("not a bzImage")
    setup = ((image[0x1f1] or 4) + 1) * 512
    offset, length = struct.unpack_from("<II", image, 0x248)
    return image[setup + offset:setup + offset + length]


def unpack(data):
    tool = UNPACKERS.get(data[:4])
    if not tool:
        sys.exit("unknown kernel compression %r" % data[:4])
    # The last four bytes are the unpacked size, which some tools complain about: they are not part of the stream.
    done = subprocess.run(tool, input=data[:-4], stdout=subprocess.PIPE, check=False)
    if done.stdout[:4] != b"\x7fELF":
        sys.exit("the kernel's payload did not unpack to an ELF file")
    return done.stdout


def segments(elf):
    phoff, = struct.unpack_from("<Q", elf, 0x20)
    size, count = struct.unpack_from("<HH", elf, 0x36)
    for i in range(count):
        kind, _, offset, _, paddr, filesz, _, _ = struct.unpack_from("<IIQQQQQQ", elf, phoff + i * size)
        yield kind, offset, paddr, filesz


def pvh_entry(elf):
    for kind, offset, _, size in segments(elf):
        end = offset + size
        while kind == PT_NOTE and offset < end:
            namesz, descsz, note = struct.unpack_from("<III", elf, offset)
            desc = offset + 12 + (namesz + 3 & ~3)
            if note == XEN_ELFNOTE_PHYS32_ENTRY and elf[offset + 12:offset + 15] == b"Xen":
                return int.from_bytes(elf[desc:desc + descsz], "little")
            offset = desc + (descsz + 3 & ~3)
    sys.exit("the kernel has no PVH entry")


def flatten(elf):
    flat = bytearray()
    for kind, offset, paddr, size in segments(elf):
        if kind != PT_LOAD:
            continue
        start = paddr - LOAD_BASE
        flat.extend(bytes(max(0, start + size - len(flat))))
        flat[start:start + size] = elf[offset:offset + size]
    return flat


def main():
    source, out = sys.argv[1:]
    with open(source, "rb") as f:
        elf = unpack(payload(f.read()))
    os.makedirs(out, exist_ok=True)
    for name, data in (("vmlinux", elf), ("kernel.flat", flatten(elf)), ("pvh_entry", b"%#x\n" % pvh_entry(elf))):
        with open(os.path.join(out, name), "wb") as f:
            f.write(data)


main()
