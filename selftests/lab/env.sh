# SPDX-License-Identifier: GPL-2.0-only
# Sourced by every shell script of the lab: where things are, how to say things.
# shellcheck shell=bash

LAB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(cd "$LAB/../.." && pwd)
VMM_CACHE=${VMM_CACHE:-/var/cache/vmm}
MIRROR=${MIRROR:-http://deb.debian.org/debian}
export LAB TOP VMM_CACHE MIRROR

say() { printf 'lab: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# tree NAME: the directory of a Debian tree (trixie, bookworm, forky)
tree() { printf '%s/%s\n' "$VMM_CACHE" "$1"; }

# tree_kernels TREE: the kernel releases whose headers a tree holds, oldest first
tree_kernels() {
	find "$VMM_CACHE/$1/usr/src" -maxdepth 1 -name 'linux-headers-*-amd64' -printf '%f\n' 2>/dev/null |
		sed 's/^linux-headers-//' | sort -V
}

# debug_kernel: the flavour that DEBUG_KERNEL asks for (1: kasan), or nothing
debug_kernel() {
	case ${DEBUG_KERNEL:-0} in
	0) ;;
	1) echo kasan ;;
	*) echo "$DEBUG_KERNEL" ;;
	esac
}

# lab_kernel: the kernel that the machines boot: that of DEBUG_KERNEL=, KERNEL=, or the newest of Debian's in the tree
lab_kernel() {
	local flavour
	flavour=$(debug_kernel)
	if [ -n "$flavour" ]; then
		cat "$VMM_CACHE/trixie/usr/src/vmm-$flavour/release" 2>/dev/null || die "the $flavour kernel has not been built yet"
	elif [ -n "${KERNEL:-}" ]; then
		[ -e "$VMM_CACHE/trixie/boot/vmlinuz-$KERNEL" ] ||
			die "no kernel $KERNEL in the lab; it has: $(cd "$VMM_CACHE/trixie/boot" && echo vmlinuz-*)"
		echo "$KERNEL"
	else
		find "$VMM_CACHE/trixie/boot" -maxdepth 1 -name 'vmlinuz-*' -printf '%f\n' |
			sed 's/^vmlinuz-//' | sort -V | tail -n 1
	fi
}

# kernel_image KERNEL: its bzImage; those that the lab has built itself are not where Debian's are, or they would be the newest
kernel_image() {
	local image
	image=$(tree trixie)/boot/vmlinuz-$1
	[ -e "$image" ] || image=$(tree trixie)/usr/src/vmm-${1##*-vmm-}/vmlinuz
	echo "$image"
}

# with_lock NAME CMD...: runs CMD while holding the cache's lock NAME, saying so when it must wait
with_lock() {
	local lock_name=$1
	shift
	mkdir -p "$VMM_CACHE/locks"
	(
		if ! flock -n 9; then
			say "waiting for another process to finish: $lock_name"
			flock 9
		fi
		"$@"
	) 9>"$VMM_CACHE/locks/$lock_name"
}

# stamp_ok FILE RECIPE / stamp FILE RECIPE: is that product there, made by this very recipe?
stamp_ok() { [ -e "$1" ] && [ "$(cat "$1")" = "$2" ]; }
stamp() { printf '%s\n' "$2" >"$1.new" && mv "$1.new" "$1"; }

# recipe FILE...: what those files say, in short
recipe() { cat "$@" | sha256sum | cut -c 1-16; }

# build_dir KERNEL: where this checkout's module is built for a kernel (VMM_BUILD: a suffix for a build of another kind);
# build_dir userspace: where its launcher is
build_dir() {
	local suffix=${VMM_BUILD:-}
	[ "$1" != userspace ] || suffix=
	printf '%s/build/%s/%s\n' "$VMM_CACHE" "$(printf %s "$TOP" | sha256sum | cut -c 1-8)" "$1$suffix"
}

# The mirror settings of this machine that a fresh tree needs too
apt_options() {
	apt-config dump 2>/dev/null | grep -E '^Acquire::(Check-Valid-Until|Check-Date|http::Proxy|https::Proxy) ' || true
}

# install_in_tree TREE PACKAGE...
# shellcheck disable=SC2016 # the inner shell expands it
install_in_tree() {
	local name=$1
	shift
	cp -L /etc/resolv.conf "$(tree "$name")/etc/resolv.conf" 2>/dev/null || true
	apt_options >"$(tree "$name")/etc/apt/apt.conf.d/99lab"
	"$LAB/in-tree" "$name" -- sh -c 'apt-get -q update && DEBIAN_FRONTEND=noninteractive \
		apt-get -q -y -o Dpkg::Options::=--force-unsafe-io install --no-install-recommends "$@" && apt-get clean' sh "$@"
}

# kernel_source TREE VERSION DIR: the package linux-source-VERSION of that tree's release becomes DIR/source.tar.xz
# shellcheck disable=SC2016 # the inner shell expands it
kernel_source() {
	"$LAB/in-tree" "$1" -- sh -c 'cd "$0" && { apt-get -qq update || true; } && apt-get -qq download linux-source-"$1" &&
		dpkg-deb --fsys-tarfile linux-source-*.deb | tar -xO --wildcards "*/linux-source-*.tar.xz" >source.tar.xz &&
		rm linux-source-*.deb' "$3" "$2"
}

# ext4_image DIR IMAGE SPARE: IMAGE becomes an ext4 file system holding DIR, with SPARE megabytes left over
ext4_image() {
	rm -f "$2"
	truncate -s "$(($(du -sxm "$1" | cut -f 1) * 106 / 100 + $3))M" "$2"
	"$LAB/in-tree" trixie "$1" "$(dirname "$2")" -- mkfs.ext4 -q -F -b 4096 -m 0 -O ^has_journal,^resize_inode \
		-E nodiscard -d "$1" "$2"
}
