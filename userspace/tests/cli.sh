#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Command lines that must fail before any device is needed: one line on stderr that names the thing, status 1, nothing left
# behind. Runs the sanitized vmrun.
vmrun=${VMRUN:-$(dirname "$0")/bin/vmrun}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
count=0
export XDG_RUNTIME_DIR=$dir/run
mkdir "$dir/run"

result() { # result GOOD NAME
	count=$((count + 1))
	[ "$1" = 0 ] && echo "ok $count - $2" || echo "not ok $count - $2"
}

# refused NAME PATTERN ARG...: status 1 and exactly one line, which matches
refused() {
	local name=$1 pattern=$2
	shift 2
	"$vmrun" "$@" >"$dir/out" 2>"$dir/err" </dev/null
	local status=$?
	[ $status = 1 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -q "^vmrun: .*$pattern" "$dir/err" && [ ! -s "$dir/out" ]
	local good=$?
	result $good "$name"
	[ $good = 0 ] || sed "s/^/# status $status: /" "$dir/err"
}

works() { # works NAME PATTERN ARG...
	local name=$1 pattern=$2
	shift 2
	"$vmrun" "$@" >"$dir/out" 2>"$dir/err" </dev/null && grep -q -- "$pattern" "$dir/out" && [ ! -s "$dir/err" ]
	result $? "$name"
}

# A file that passes for a bzImage: setup_sects 4, syssize 0x200, "HdrS", 2.15, 64 bits, relocatable to 16 MiB
{
	head -c 497 /dev/zero
	printf '\4\0\0\0\2\0\0\0\0\0\0\0\0\x55\xaa'	# 0x1f1
	printf '\xeb\x6aHdrS\x0f\x02'			# 0x200
	head -c $((0x22c - 0x208)) /dev/zero
	printf '\xff\xff\xff\x7f\0\0\x20\0\1\0\1\0'	# initrd_addr_max, kernel_alignment, relocatable, xloadflags
	printf '\xff\7\0\0'				# 0x238 cmdline_size
	head -c $((0x258 - 0x23c)) /dev/zero
	printf '\0\0\0\1\0\0\0\0\0\0\x30\0'		# pref_address, init_size
	head -c $((5 * 512 + 8192 - 0x264)) /dev/zero
} >"$dir/kernel"
head -c 4000 "$dir/kernel" >"$dir/short"
head -c 100000 /dev/urandom >"$dir/foreign"
# It says that it wants 64 MiB to unpack itself.
cp "$dir/kernel" "$dir/big"
printf '\0\0\0\4' | dd of="$dir/big" bs=1 seek=$((0x260)) conv=notrunc status=none
head -c 300 /bin/true >"$dir/elf"
: >"$dir/empty"
truncate -s 600M "$dir/initrd"
truncate -s 1M "$dir/disk"
mkfifo "$dir/fifo"
K=$dir/kernel

works 'help' 'vmrun run --kernel' --help
works 'help of run' '--initrd FILE' run --help
works 'help of stop' '--grace' stop --help
works 'help of stats' '--interval' stats --help
works 'help of restore' '--verify' restore --help
works 'help of migrate' '--downtime-limit' migrate --help
works 'help of snapshot' 'NAME FILE' snapshot --help
works 'help of pause' 'vmrun pause NAME' pause --help
works 'version' '^vmrun [0-9]' version

refused 'no such command' 'frobnicate' frobnicate
refused 'no kernel named' '--kernel FILE is missing' run
refused 'kernel missing' "$dir/nothing: No such file" run --kernel "$dir/nothing"
refused 'kernel empty' 'file is empty' run --kernel "$dir/empty"
refused 'kernel truncated' 'truncated' run --kernel "$dir/short"
refused 'kernel foreign' 'neither a bzImage nor' run --kernel "$dir/foreign"
refused 'kernel is a program' 'no PVH entry\|no memory\|nothing to load' run --kernel "$vmrun"
refused 'kernel is a directory' 'not a regular file' run --kernel "$dir"
refused 'kernel is a FIFO' 'not a regular file' run --kernel "$dir/fifo"
refused 'kernel too large for the memory' 'needs at least --mem 80M' run --kernel "$dir/big" --mem 32M --device "$dir/vmm"
refused 'ELF kernel truncated' "$dir/elf: " run --kernel "$dir/elf" --device "$dir/vmm"
refused 'initrd is a directory' 'not a regular file' run --kernel "$K" --initrd "$dir" --device "$dir/vmm"
refused 'initrd missing' "$dir/nothing" run --kernel "$K" --initrd "$dir/nothing"
refused 'initrd too large' 'more with --mem' run --kernel "$K" --initrd "$dir/initrd"
refused 'initrd empty' 'file is empty' run --kernel "$K" --initrd "$dir/empty"
refused 'memory absurd' '--mem 900T' run --kernel "$K" --mem 900T
refused 'memory tiny' '--mem 4K' run --kernel "$K" --mem 4K
refused 'memory nonsense' '--mem much' run --kernel "$K" --mem much
refused 'no CPU' '--cpus 0' run --kernel "$K" --cpus 0
refused 'a million CPUs' '--cpus 1000000' run --kernel "$K" --cpus 1000000
refused 'disk missing' "--disk $dir/nothing" run --kernel "$K" --disk "$dir/nothing"
refused 'disk is a directory' "--disk $dir" run --kernel "$K" --disk "$dir,ro"
refused 'disk is a character device' 'neither a file nor a block device' run --kernel "$K" --disk /dev/null
many=()
for _ in $(seq 17); do many+=(--disk "$dir/disk"); done
refused '17 disks' '16 disks are the most' run --kernel "$K" "${many[@]}"
refused 'append too long' '--append: 3000' run --kernel "$K" --append "$(head -c 3000 /dev/zero | tr '\0' x)"
refused 'net nonsense' '--net bridge' run --kernel "$K" --net bridge
refused 'name with a slash' '--name ../x' run --kernel "$K" --name ../x
refused 'no device node' "$dir/vmm: not there" run --kernel "$K" --device "$dir/vmm"
refused 'no such user' '--user nobody-at-all: there is no such user' run --kernel "$K" --user nobody-at-all
refused 'no user' '--user: the user.s name is missing' run --kernel "$K" --user ''
refused 'seccomp nonsense' '--seccomp maybe: give on or off' run --kernel "$K" --seccomp maybe
refused 'seccomp nonsense for restore' '--seccomp maybe: give on or off' restore "$K" --seccomp maybe
hint='load the module'
grep -qE '^flags.* (vmx|svm)' /proc/cpuinfo || hint='neither VT-x nor AMD-V'
refused 'and what is to be done about it' "$dir/vmm: .*$hint" run --kernel "$K" --device "$dir/vmm"
refused 'device is no KVM' 'not a KVM device' run --kernel "$K" --device /dev/null
refused 'device is a file' 'not a KVM device' run --kernel "$K" --device "$dir/disk"
refused 'stop without a name' 'name is missing' stop
refused 'stop of nobody' 'no machine of that name' stop "nobody-$$"
refused 'stop with a path' 'not a machine' stop ../x
refused 'stats without a name' 'name is missing' stats
refused 'stats of nobody' 'no machine of that name' stats "nobody-$$"
refused 'stats every 0 seconds' '--interval 0' stats vm --interval 0
refused 'incoming from nowhere' '--incoming there: give tcp:HOST:PORT' run --incoming there
refused 'restore without a file' 'file is missing' restore
refused 'restore of nothing' "$dir/nothing: No such file" restore "$dir/nothing"
refused 'restore of what is no snapshot' 'not a snapshot' restore "$K"
refused 'restore of a directory' 'not a snapshot' restore "$dir"
refused 'restore of a FIFO' 'not a snapshot' restore "$dir/fifo"
refused 'verify nonsense' '--verify soon' restore "$K" --verify soon
refused 'snapshot without a file' 'file is missing' snapshot vm
refused 'snapshot of nobody' 'no machine of that name' snapshot "nobody-$$" "$dir/snapshot"
refused 'snapshot with too much' 'one argument too many' snapshot a b c
refused 'pause of nobody' 'no machine of that name' pause "nobody-$$"
refused 'resume without a name' 'name is missing' resume
refused 'migrate to nowhere' 'where to is missing' migrate vm
refused 'migrate to nonsense' 'migrate there: give tcp:HOST:PORT' migrate vm there
refused 'migrate of nobody' 'no machine of that name' migrate "nobody-$$" tcp:localhost:1
refused 'no streams' '--streams 0' migrate vm tcp:x:1 --streams 0
refused 'a hundred streams' '--streams 100' migrate vm tcp:x:1 --streams 100
refused 'compress nonsense' '--compress gzip' migrate vm tcp:x:1 --compress gzip
refused 'compress level nonsense' '--compress zstd=99' migrate vm tcp:x:1 --compress zstd=99
refused 'no bandwidth' '--max-bandwidth 0' migrate vm tcp:x:1 --max-bandwidth 0
refused 'no downtime' '--downtime-limit 0' migrate vm tcp:x:1 --downtime-limit 0
refused 'no time' '--timeout 0' migrate vm tcp:x:1 --timeout 0
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	chmod 755 "$dir"
	chmod 600 "$K" "$dir/disk"
	refused_as_nobody() {
		local old=$vmrun
		# shellcheck disable=SC2016 # the script's own arguments
		printf '#!/bin/sh\nexec setpriv --reuid 65534 --clear-groups "%s" "$@"\n' "$(readlink -f "$old")" >"$dir/as-nobody"
		chmod 755 "$dir/as-nobody"
		vmrun=$dir/as-nobody
		refused "$@"
		vmrun=$old
	}
	refused_as_nobody 'kernel unreadable' 'Permission denied' run --kernel "$K"
	refused_as_nobody 'another user' 'only root can become' run --kernel "$K" --user root
	chmod 644 "$K"
	refused_as_nobody 'disk unreadable' "--disk $dir/disk: Permission denied" run --kernel "$K" --disk "$dir/disk"
	# Whoever made that directory answers for all machines in it.
	if mkdir /tmp/vmrun-65534 2>/dev/null; then
		XDG_RUNTIME_DIR='' refused_as_nobody "somebody else's directory" 'is not yours' stop vm
		rmdir /tmp/vmrun-65534
	fi
	refused_as_nobody 'device without permission' 'disk: permission denied' run --kernel "$K" --device "$dir/disk"
fi
[ -z "$(find "$dir/run" -mindepth 1 -name '*.sock')" ] && [ -z "$(find /run/vmrun -name 'vm-*.sock' -newer "$dir/kernel" 2>/dev/null)" ]
result $? 'nothing left behind'
echo "1..$count"
