#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# setup.sh STEP...: brings what the lab needs into the cache ($VMM_CACHE, default /var/cache/vmm), once.
#   host             the packages that the lab needs on this machine
#   compiler         those that building vmrun for this machine needs
#   lint             the checker of shell scripts, on this machine
#   clang            a compiler that has libFuzzer, on this machine
#   tree NAME        a Debian tree: trixie (the lab), bookworm and forky (compile gates)
#   machine          kernel, initrd and root image of the emulated machines, and the Bochs that has our patch
#   virt             the root image that has libvirt and QEMU's tools and firmware as well
#   bootdisk         a disk for firmware to boot the guest from
#   kernel           the kernel that DEBUG_KERNEL asks for
#   guest NAME       a guest image: guest, bookworm, i386; installer: what a network boot of Debian's installer fetches
#   checkpatch       the kernel's style checker
# Every product carries a stamp with the hash of its recipe: an interrupted or outdated one is made again.
set -euo pipefail
. "$(dirname "$0")/env.sh"

packages() { grep -v '^#' "$LAB/packages.$1" | xargs; }

# COMMAND PACKAGE of what the lab's scripts call on this machine
HOST_TOOLS="mmdebstrap mmdebstrap
gpg gpg
nm binutils
python3 python3
unshare util-linux
flock util-linux
xz xz-utils
zstd zstd"

install() {
	[ $# -gt 0 ] || return 0
	if ! command -v apt-get >/dev/null; then
		die "this is not a Debian system: install $* by hand, then run this again"
	fi
	[ "$(id -u)" = 0 ] || die "must be root to install $*"
	say "installing on this machine: $*"
	# A machine that has just come up may be at its own updates.
	apt-get -qq update || say "apt-get update had errors; going on"
	DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@" >/dev/null ||
		die "could not install $*"
}

setup_host() {
	local need=() tool package
	[ "$(id -u)" = 0 ] || die "must be root: the lab makes Debian trees, mounts and loads modules"
	while read -r tool package; do
		command -v "$tool" >/dev/null || need+=("$package")
	done <<<"$HOST_TOOLS"
	install "${need[@]}"
}

# Asked of the compiler itself: it finds what it needs, wherever that came from.
setup_compiler() {
	local need=() header
	command -v cc >/dev/null || need+=(gcc libc6-dev)
	[ ${#need[@]} = 0 ] && echo '#include <gelf.h>' | cc -E - >/dev/null 2>&1 || need+=(libelf-dev)
	for header in zstd xxhash seccomp; do
		[ ${#need[@]} = 0 ] && echo "#include <$header.h>" | cc -E - >/dev/null 2>&1 || need+=("lib$header-dev")
	done
	[ ${#need[@]} = 0 ] && { echo '#include <slirp/libslirp.h>' | cc -E - || pkg-config --exists slirp; } >/dev/null 2>&1 ||
		need+=(libslirp-dev pkgconf)
	install "${need[@]}"
}

setup_lint() { command -v shellcheck >/dev/null || install shellcheck; }

setup_clang() {
	echo 'int LLVMFuzzerTestOneInput(const char *p, long n) { return p && n < 0; }' |
		clang -x c -fsanitize=fuzzer,address,undefined -o /dev/null - 2>/dev/null || install clang libclang-rt-dev make
}

make_tree() {
	local name=$1 dir opts=() line
	dir=$(tree "$name")
	rm -rf "$dir.new"
	while read -r line; do
		[ -z "$line" ] || opts+=("--aptopt=$line")
	done < <(apt_options)
	say "making a Debian tree ($name) in $dir, once: a few minutes"
	if [ "$name" = forky ] && [ "$(command -v mmdebstrap)" ] && ! forky_keys; then
		setup_tree trixie
		set -- "$LAB/in-tree" trixie -- mmdebstrap
	else
		set -- mmdebstrap
	fi
	"$@" --variant=apt --include="$(packages "$name" | tr ' ' ,)" "${opts[@]}" "$name" "$dir.new" "$MIRROR" \
		>"$VMM_CACHE/$name.log" 2>&1 || die "mmdebstrap failed; see $VMM_CACHE/$name.log: $(tail -n 3 "$VMM_CACHE/$name.log")"
	rm -rf "$dir"
	mv "$dir.new" "$dir"
}

forky_keys() { ls /usr/share/keyrings/debian-archive-trixie-stable.* >/dev/null 2>&1; }

# An existing tree gets the packages that its list has gained
add_packages() {
	local name=$1
	say "adding packages to the $name tree"
	# shellcheck disable=SC2046
	install_in_tree "$name" $(packages "$name") >"$VMM_CACHE/$name.log" 2>&1
}

setup_tree() {
	local name=$1 want
	want=$(recipe "$LAB/packages.$name")
	stamp_ok "$VMM_CACHE/$name.stamp" "$want" && return
	if ! { [ -e "$(tree "$name")/var/lib/dpkg/status" ] && add_packages "$name"; }; then
		make_tree "$name"
	fi
	stamp "$VMM_CACHE/$name.stamp" "$want"
}

# copy_modules KERNEL DEST ORDERFILE MODULE...: the named modules and what they need, unpacked and stripped (a module
# with debug data takes the emulators seconds to load), flat in DEST, with their names in load order in ORDERFILE
copy_modules() {
	local kernel=$1 dest=$2 order=$3 path name
	shift 3
	for name in "$@"; do
		"$LAB/in-tree" trixie -- modprobe -S "$kernel" --show-depends "$name" 2>/dev/null || true
	done | awk '$1 == "insmod" && !/crc32c-intel/ && !seen[$2]++ { print $2 }' >"$order.paths"
	: >"$order"
	while read -r path; do
		name=$(basename "$path" .xz)
		if [ ! -e "$dest/$name" ]; then
			xz -dcf "$(tree trixie)$path" >"$dest/$name"
		fi
		echo "$name" >>"$order"
	done <"$order.paths"
	rm "$order.paths"
}

# shellcheck disable=SC2016 # the inner shell expands it
strip_modules() { "$LAB/in-tree" trixie "$1" -- sh -c 'find "$0" -name "*.ko" -exec strip -g -R .BTF {} +' "$1"; }

make_initrd() {
	local kernel=$1 out=$2 dir for_whom
	dir=$(mktemp -d "$VMM_CACHE/initrd.XXXXXX")
	mkdir -p "$dir/bin" "$dir/modules"
	cp "$(tree trixie)/bin/busybox" "$dir/bin/"
	cp "$LAB/init" "$dir/init"
	for for_whom in amd intel; do
		# shellcheck disable=SC2046
		copy_modules "$kernel" "$dir/modules" "$dir/modules/order.$for_whom" \
			$(awk -v w=$for_whom '$1 == "both" || $1 == w { $1 = ""; print }' "$LAB/modules.boot")
	done
	strip_modules "$dir/modules"
	(cd "$dir" && find . | "$LAB/in-tree" trixie "$dir" -- cpio -o -H newc -R 0:0 --quiet) >"$out"
	rm -rf "$dir"
}

# make_root_image KERNEL IMAGE SPARE EXCLUDEFILE...
make_root_image() {
	local kernel=$1 out=$2 spare=$3 dir
	shift 3
	dir=$(mktemp -d "$VMM_CACHE/root.XXXXXX")
	tar -C "$(tree trixie)" -c --one-file-system "${@/#/--exclude-from=}" . | tar -C "$dir" -x
	mkdir -p "$dir"/{proc,sys,dev,run,tmp,lab,guest,share} "$dir/usr/lib/modules/$kernel/kernel"
	# shellcheck disable=SC2046
	copy_modules "$kernel" "$dir/usr/lib/modules/$kernel/kernel" "$dir/order" $(grep -v '^#' "$LAB/modules.root")
	rm "$dir/order"
	strip_modules "$dir/usr/lib/modules/$kernel/kernel"
	cp "$(tree trixie)/usr/lib/modules/$kernel"/modules.{builtin,builtin.modinfo,order} "$dir/usr/lib/modules/$kernel/"
	"$LAB/in-tree" trixie "$dir" -- depmod -b "$dir" "$kernel"
	# Nothing may bring in the stock modules on its own: they would own the processor's virtualization.
	printf 'blacklist %s\n' kvm kvm_amd kvm_intel >"$dir/etc/modprobe.d/lab.conf"
	ext4_image "$dir" "$out" "$spare"
	rm -rf "$dir"
}

setup_machine() {
	local kernel dir want
	setup_tree trixie
	"$LAB/emulators/make-emulator" bochs
	kernel=$(lab_kernel)
	dir=$VMM_CACHE/machine/$kernel
	want=$(recipe "$LAB"/{init,modules.boot,modules.root,root.exclude,root.exclude.plain,packages.trixie,extract-kernel.py})
	stamp_ok "$dir/stamp" "$want" && return
	say "making kernel, initrd and root image of the emulated machines ($kernel), once: a minute"
	rm -rf "$dir"
	mkdir -p "$dir"
	"$LAB/extract-kernel.py" "$(kernel_image "$kernel")" "$dir"
	# KASAN's code does not come through the PVH entry, which has not made room for it.
	[ -z "$(debug_kernel)" ] || cp "$(kernel_image "$kernel")" "$dir/vmlinuz"
	make_initrd "$kernel" "$dir/initrd"
	make_root_image "$kernel" "$dir/root.img" 24 "$LAB/root.exclude" "$LAB/root.exclude.plain"
	stamp "$dir/stamp" "$want"
}

# Debian's own is set up beside it: the guests' images begin with that one.
setup_kernel() {
	[ -n "$(debug_kernel)" ] || return 0
	DEBUG_KERNEL='' setup_machine
	"$LAB/kernel/make-kernel" "$(debug_kernel)"
}

setup_virt() {
	local kernel dir want
	setup_machine
	kernel=$(lab_kernel)
	dir=$VMM_CACHE/machine/$kernel
	want=$(cat "$dir/stamp")
	stamp_ok "$dir/virt.stamp" "$want" && return
	say "making the root image with libvirt and QEMU's firmware, once: half a minute"
	make_root_image "$kernel" "$dir/virt.img" 24 "$LAB/root.exclude"
	stamp "$dir/virt.stamp" "$want"
}

setup_bootdisk() {
	setup_guest guest
	"$LAB/guest/make-bootdisk"
}

setup_guest() {
	setup_machine
	case $1 in
	installer) "$LAB/make-installer" ;;
	*) "$LAB/guest/make-image" "$1" ;;
	esac
}

# checkpatch.pl comes in no headers package, so it is taken from the kernel's source package.
setup_checkpatch() {
	local dir=$VMM_CACHE/checkpatch want=1
	stamp_ok "$dir/stamp" $want && return
	setup_tree trixie
	say "fetching the kernel's source package for its checkpatch.pl, once"
	rm -rf "$dir"
	mkdir -p "$dir"
	{ kernel_source trixie 6.12 "$dir" && "$LAB/in-tree" trixie -- tar -C "$dir" -xJf "$dir/source.tar.xz" --strip-components=2 \
		--wildcards "*/scripts/checkpatch.pl" "*/scripts/spelling.txt" "*/scripts/const_structs.checkpatch"; } \
		>"$VMM_CACHE/checkpatch.log" 2>&1 || die "could not get checkpatch.pl; see $VMM_CACHE/checkpatch.log"
	rm "$dir/source.tar.xz"
	stamp "$dir/stamp" $want
}

main() {
	mkdir -p "$VMM_CACHE/slots"
	setup_host
	while [ $# -gt 0 ]; do
		case $1 in
		host) ;;
		lint) setup_lint ;;
		clang) setup_clang ;;
		tree) setup_tree "$2"; shift ;;
		machine) setup_machine ;;
		guest) setup_guest "$2"; shift ;;
		virt) setup_virt ;;
		kernel) setup_kernel ;;
		bootdisk) setup_bootdisk ;;
		emulator) setup_tree trixie; "$LAB/emulators/make-emulator" "$2"; shift ;;
		checkpatch) setup_checkpatch ;;
		*) die "setup.sh: unknown step $1" ;;
		esac
		shift
	done
}

if [ "$*" = compiler ]; then
	setup_compiler
else
	with_lock setup main "$@"
fi
