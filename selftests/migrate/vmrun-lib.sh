# SPDX-License-Identifier: GPL-2.0-only
# Sourced by the tests of moving vmrun's machines: a guest that checks its own memory and clock (pattern.c), and judgement.
# shellcheck shell=bash
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$(mktemp -d)
trap 'jobs -p | xargs -r kill 2>/dev/null; rm -rf "$dir"' EXIT
number=0
failed=0
vendor=amd
memory=128M
pack=()
append=
# The slow machine gets less to carry, and does not compress it.
if grep -q '^flags.* vmx' /proc/cpuinfo; then
	vendor=intel
	memory=80M
	pack=(--compress none)
fi
export vendor memory

judge() { # judge NAME STATUS
	number=$((number + 1))
	if [ "$2" = 0 ]; then echo "ok $number $1"; else echo "not ok $number $1"; failed=1; fi
}

make_initrd() {
	mkdir -p "$dir/root"/{bin,dev,proc,sys}
	cp "$(command -v busybox)" "$here/pattern" "$dir/root/bin/"
	cat >"$dir/root/init" <<-'INIT'
		#!/bin/busybox sh
		/bin/busybox --install -s /bin
		mount -t proc proc /proc
		mount -t devtmpfs dev /dev
		mount -t sysfs sys /sys
		echo "pattern: clock $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
		(while read -r word; do [ "$word" = off ] && poweroff -f; done </dev/console) &
		for word in $(cat /proc/cmdline); do
			case $word in pattern=*) pattern $(echo "${word#*=}" | tr , ' ') ;; esac
		done
		echo "pattern: ENDED"
		sleep 1000000
	INIT
	chmod +x "$dir/root/init"
	(cd "$dir/root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$dir/initrd"
}

declare -A process
input=/dev/null

# machine LOG NAME PATTERN ARG...: a guest in the background, with $append on its command line; what it says is in $dir/LOG
machine() {
	local log=$1 name=$2 pattern=$3
	shift 3
	: >"$dir/$log"
	vmrun run --name "$name" --kernel /guest/vmlinuz --initrd "$dir/initrd" --device "$VMM_DEVICE" \
		--append "$(cat /guest/append) pattern=$pattern $append" "$@" <"$input" >"$dir/$log" 2>&1 &
	process[$name]=$!
}

# ends NAME: that machine's process comes to an end, and to a good one
ends() { wait "${process[$1]}"; }

ticks() { grep -c 'pattern: tick' "$dir/$1"; }
# The last tick's number in a log
tick() { tr -d '\r' <"$dir/$1" | sed -n 's/.*pattern: tick \([0-9]*\) .*/\1/p' | tail -n 1; }

# await SECONDS COMMAND...: until it is true
await() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.2
	done
}

said() { grep -q -- "$2" "$dir/$1"; }
gone() { ! kill -0 "$1" 2>/dev/null; }
more_ticks() { [ "$(ticks "$1")" -ge "$2" ]; }

# lives LOG: the guest behind it goes on for some ticks, and is unharmed
lives() {
	await "${PATIENCE:-90}" more_ticks "$1" $(($(ticks "$1") + 3)) && healthy "$1"
}

# The first line names what is looked for, so that kernel messages about it count too
healthy() { [ -s "$dir/$1" ] && ! grep -E 'CORRUPT|ENDED|soft lockup|Call Trace|BUG:|unstable' "$dir/$1"; }

show() { tr -d '\r' <"$dir/$1" | grep -v 'pattern: tick' | tail -n 15 | sed "s/^/# $1: /"; }

finish() {
	echo "1..$number"
	exit $failed
}
