#!/bin/bash
# SPDX-License-Identifier: MIT
#
# vm.sh - runs one command as root in a throw-away virtual machine that has one of Debian 12's own
# kernels, real WireGuard and nothing of this machine but its programs: vm.sh [options] command...
#
#   -k SUITE       whose kernel (linux-image-cloud-amd64): bookworm, which is 6.1 and the default,
#                  or bookworm-backports, the newest that there is for Debian 12
#   -f SRC[:DEST]  puts the file or folder there, with the libraries of its programs; repeatable
#   -t SECONDS     ends the machine after so long (default 300)
#   -M MB          its memory (default 768)
#
# The command, shell text if it is one word, has no input; its output is streamed to standard output.
# Exit status: the command's; 124 time over; 125 there is no machine, and a line on standard error
# says why; 126 the machine ended without a status (a panic, no memory left).
#
# The kernels are unpacked into vm/ of $WG_DYNAMIC_CACHE (default ~/.cache/wg-dynamic), never
# installed. They come from the mirror that this machine's apt uses, by an apt configuration of
# their own. To have newer ones, remove the folder.
#
# Time in the machine is counted in instructions, a nanosecond each, and jumps to the next timer when
# there is nothing to do. So what runs there finds a computer of usual speed, however slow the
# emulation is, and sleeping costs nothing.

set -euo pipefail
export LC_ALL=C

CACHE=$(readlink -m "${WG_DYNAMIC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/wg-dynamic}/vm")
SUITE=bookworm TIMEOUT=300 MEMORY=768 FILES=()

# What the machine has of this one, with the libraries that these want.
PACKAGES=(bash bats coreutils dash diffutils findutils grep hostname iproute2 iputils-ping kmod mount
	nftables perl-base procps python3-minimal sed strace util-linux
	wireguard-go wireguard-tools)
MORE=(/etc/alternatives/awk /etc/protocols /etc/services /usr/bin/{awk,logger,script}
	/usr/lib/"$(readlink /usr/bin/python3)"/json/*.py)
# Modules that are loaded there when somebody wants them, with what they depend on.
MODULES=(af_packet dummy inet_diag ip6_tables ip_tables netlink_diag nf_conntrack nf_tables nfnetlink_log
	nft_chain_nat nft_compat nft_ct nft_fib nft_fib_inet nft_fib_ipv4 nft_fib_ipv6
	nft_limit nft_log nft_masq nft_nat nft_numgen nft_reject nft_reject_inet nft_reject_ipv4
	nft_reject_ipv6 overlay sch_netem tcp_diag tun udp_diag unix_diag veth wireguard)

die() {
	echo "${0##*/}: $*" >&2
	exit 125
}

while getopts :k:f:t:M: option; do
	case $option in
	k) SUITE=$OPTARG ;;
	f) FILES+=("$OPTARG") ;;
	t) TIMEOUT=$OPTARG ;;
	M) MEMORY=$OPTARG ;;
	*) die "-$OPTARG: no such option, or without its value; see the head of this file" ;;
	esac
done
shift $((OPTIND - 1))
(($#)) || die "no command given"
for program in qemu-system-x86_64 apt-get dpkg cpio depmod lz4 zstd xz; do
	type -P "$program" >/dev/null || die "there is no $program here: tests/install-deps.sh check"
done
[[ $(uname -m) == x86_64 ]] || die "the kernels are for x86_64, and this is a $(uname -m)"
WORK=$(mktemp -d "${TMPDIR:-/tmp}/vm.XXXXXX")
trap 'rm -rf "$WORK"' EXIT
mkdir -p "$CACHE" || die "cannot make a folder for the kernels: $CACHE"

# ---- the kernel

# Only the Debian mirror of this machine's own apt, whatever else that knows.
private_apt() {
	local mirror suite
	# shellcheck disable=SC2016 # for apt
	mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' |
		sed -n 's/ Debian Debian$//p')
	mirror=${mirror%%$'\n'*}
	[[ -n $mirror ]] || die "this machine's apt knows no Debian mirror to have a kernel from"
	mkdir -p "$WORK/apt"/{lists,archives}/partial
	for suite in bookworm bookworm-backports; do
		echo "deb [arch=amd64 signed-by=$KEYRING] $mirror $suite main"
	done >"$WORK/apt/sources.list"
	cat >"$WORK/apt/conf" <<-EOC
		Dir::State "$WORK/apt";
		Dir::State::status "/dev/null";
		Dir::Cache "$WORK/apt";
		Dir::Etc::SourceList "$WORK/apt/sources.list";
		Dir::Etc::SourceParts "/dev/null";
		Dir::Etc::Preferences "/dev/null";
		Dir::Etc::PreferencesParts "/dev/null";
		Acquire::Languages "none";
		APT::Architecture "amd64";
		APT::Sandbox::User "root";
		APT::Update::Post-Invoke-Success "";
	EOC
	export APT_CONFIG=$WORK/apt/conf
}
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# The ELF file inside of a bzImage, where Linux' boot protocol says that it is, without its size at
# the end. qemu starts it at once; the image would first unpack itself, in emulation.
unpack_vmlinux() { # IMAGE
	local sectors offset length
	sectors=$(od -An -tu1 -j497 -N1 "$1")
	read -r offset length < <(od -An -tu4 -j584 -N8 "$1")
	offset=$(((sectors + 1) * 512 + offset))
	head -c $((offset + length - 4)) "$1" | tail -c +$((offset + 1)) >"$WORK/payload"
	case $(od -An -tx4 -N4 "$WORK/payload") in
	*184c2102) lz4 -dcq "$WORK/payload" ;;
	*fd2fb528) zstd -dcq "$WORK/payload" ;;
	*587a37fd) xz -dc "$WORK/payload" ;;
	*) die "$1 is compressed in a way that is not known here" ;;
	esac
}

# $CACHE/SUITE, there as a whole or not at all: vmlinux and lib/modules/RELEASE, unpacked.
fetch_kernel() (
	echo "${0##*/}: $SUITE: downloading the kernel, into $CACHE" >&2
	private_apt
	apt-get -qq update || die "apt cannot read the list of $SUITE's packages"
	package=$(apt-cache show "linux-image-cloud-amd64/$SUITE" |
		sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p')
	[[ -n $package ]] || die "$SUITE has no kernel package linux-image-cloud-amd64"
	cd "$WORK"
	apt-get -qq download "$package/$SUITE" || die "cannot download $package"
	dpkg -x "$package"_*.deb kernel
	cd kernel
	find lib/modules -name '*.ko.xz' -exec xz -d {} +
	depmod -b . "${package#linux-image-}"
	unpack_vmlinux boot/vmlinuz-* >vmlinux
	rm -rf boot usr "$CACHE/${SUITE:?}.new"
	cp -a . "$CACHE/$SUITE.new"
	mv "$CACHE/$SUITE.new" "$CACHE/$SUITE"
)

# ---- its files

# The libraries of the programs that are named on standard input.
libraries() {
	xargs -d '\n' sh -c 'find -L "$@" -maxdepth 0 -type f -perm /111' - |
		xargs -d '\n' -r ldd 2>/dev/null | grep -o '/[^ ]* (0x' | sed 's/ .*//' | sort -u || true
}

# An archive of the files of this machine that are named on standard input, of what links lead to,
# and of the folders that all that is in. /bin, /sbin and /lib* are links into /usr there.
pack_files() {
	sort -u >"$WORK/files"
	xargs -d '\n' -r -a "$WORK/files" realpath | sort -u - "$WORK/files" |
		sed -E 's,^/(bin|sbin|lib[0-9]*)/,/usr&,' |
		awk -F/ '{ p = ""; for (i = 2; i <= NF; i++) print p = p "/" $i }' | sort -u |
		sed 's,^/,,' | (cd / && cpio --quiet -o -H newc -R 0:0)
}

pack_folder() {
	(cd "$1" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0)
}

packages() {
	local python
	python=$(readlink /usr/bin/python3)
	printf '%s\n' "${PACKAGES[@]}" "$python-minimal" "lib$python-minimal"
}

# The modules and an index of them.
add_modules() { # ROOT
	local release to
	release=$(ls "$CACHE/$SUITE/lib/modules")
	to=$1/usr/lib/modules/$release
	mkdir -p "$to"
	modprobe -d "$CACHE/$SUITE" -S "$release" --show-depends -a "${MODULES[@]}" |
		sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u | xargs cp -t "$to"
	cp "$CACHE/$SUITE/lib/modules/$release"/modules.{builtin,builtin.modinfo,order} "$to/"
	depmod -b "$1/usr" "$release"
}

# What every run with this kernel has in common.
make_base() { # FILE
	local root=$WORK/base
	mkdir -p "$root"/{dev,proc,sys,run,root,etc/wireguard,usr/{bin,sbin,lib,lib64},var/lib}
	mkdir -m 1777 "$root/tmp"
	ln -s usr/bin usr/sbin usr/lib usr/lib64 "$root/"
	ln -s /run "$root/var/run"
	printf '%s\n' root:x:0:0::/root:/bin/bash nobody:x:65534:65534::/:/bin/false >"$root/etc/passwd"
	printf '%s\n' root:x:0: nogroup:x:65534: >"$root/etc/group"
	(umask 077 && echo 'root:*:::::::' >"$root/etc/shadow")
	printf '%s\n' '127.0.0.1 localhost' '::1 localhost' >"$root/etc/hosts"
	add_modules "$root"
	cat >"$root/init" <<-'EOI'
		#!/bin/bash
		export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
		export HOME=/root TERM=dumb LC_ALL=C
		mount -t devtmpfs dev /dev
		mount -t proc proc /proc
		mount -t sysfs sys /sys
		mount -t tmpfs -o mode=755 run /run
		mkdir -p /dev/pts /dev/shm
		mount -t devpts devpts /dev/pts
		ln -s /proc/self/fd /dev/fd
		stty -F /dev/ttyS0 -opost
		stty -F /dev/ttyS1 -opost
		modprobe -a tun overlay
		ip link set lo up
		cd /root
		bash /command </dev/null >/dev/ttyS0 2>&1
		echo "status $?" >/dev/ttyS1
		stty -F /dev/ttyS0 opost # waits until all is written
		echo 0 >/proc/sys/kernel/printk
		perl -e 'syscall 169, 0xfee1dead, 0x28121969, 0x1234567, 0' # reboot(2), without a word
	EOI
	chmod +x "$root/init"
	# shellcheck disable=SC2046 # words
	{ dpkg -L $(packages) && printf '%s\n' "${MORE[@]}"; } | while read -r file; do
		[[ $file != /* || $file == /usr/share/@(doc|man|locale|info|bug|lintian)/* ]] ||
			[[ -d $file && ! -L $file ]] || echo "$file"
	done >"$WORK/wanted"
	libraries <"$WORK/wanted" >>"$WORK/wanted.libraries"
	{
		pack_folder "$root"
		cat "$WORK"/wanted{,.libraries} | pack_files
	} >"$1.new"
	mv "$1.new" "$1"
}

# What this run adds.
make_extra() { # COMMAND...
	local root=$WORK/extra spec from to
	mkdir "$root"
	if (($# == 1)); then
		printf '%s\n' "$1"
	else
		printf '%q ' "$@"
	fi >"$root/command"
	for spec in "${FILES[@]}"; do
		from=${spec%%:*} to=$root${spec#*:}
		[[ $spec == *:/* ]] || to=$root$(realpath "$from")
		[[ -e $from ]] || die "$from: no such file"
		mkdir -p "${to%/*}"
		if [[ -d $from ]]; then
			mkdir -p "$to"
			cp -a "$from/." "$to/"
		else
			cp -aL "$from" "$to"
		fi
		find "$from" -type f -perm /111
	done >"$WORK/programs"
	pack_folder "$root"
	libraries <"$WORK/programs" | pack_files
}

# ---- its life

exec {lock}>"$CACHE/lock"
flock "$lock"
[[ -d $CACHE/$SUITE ]] || fetch_kernel
# shellcheck disable=SC2046 # words
BASE=$CACHE/$SUITE/base-$({ cat "$0" && dpkg-query -W $(packages); } | sha256sum | cut -c -16)
if [[ ! -e $BASE ]]; then
	rm -f "$CACHE/$SUITE"/base-*
	make_base "$BASE"
fi
exec <"$BASE" # the next run may find it out of date, and remove it
exec {lock}>&-
{ cat && make_extra "$@"; } >"$WORK/initrd"

# A machine of the fewest parts: two serial lines, of which the second has the status. Without cx16,
# since qemu 7.2 takes the flags of before cmpxchg16b, which the kernel's allocator uses, from where
# they may no longer be. Without random addresses, since code is translated anew for each.
timeout -k 5 "$TIMEOUT" qemu-system-x86_64 -M microvm,pit=on,pic=on,rtc=on,isa-serial=off,acpi=off \
	-accel tcg -icount shift=0,sleep=off -cpu qemu64,+rdrand,-cx16 -m "$MEMORY" \
	-nodefaults -no-user-config -display none -no-reboot \
	-chardev stdio,id=console,signal=off -device isa-serial,chardev=console,iobase=0x3f8,irq=4 \
	-chardev "file,id=status,path=$WORK/status" -device isa-serial,chardev=status,iobase=0x2f8,irq=3 \
	-kernel "$CACHE/$SUITE/vmlinux" -initrd "$WORK/initrd" -append "console=ttyS0 quiet loglevel=3 \
		panic=-1 reboot=t pci=off nokaslr mitigations=off random.trust_cpu=on cryptomgr.notests \
		norandmaps \
		8250.nr_uarts=2 tsc=reliable no_timer_check" </dev/null &
# In the background, so that a signal to this script ends the machine as well.
machine=$!
trap 'kill "$machine" 2>/dev/null && wait "$machine" || true; rm -rf "$WORK"' EXIT
trap 'exit 125' HUP INT TERM
code=0
wait "$machine" || code=$?
status=$(sed -n 's/^status //p' "$WORK/status" 2>/dev/null)
[[ -z $status ]] || exit "$status"
((code != 124 && code != 137)) || { echo "${0##*/}: stopped after $TIMEOUT s" >&2; exit 124; }
((code == 0)) || die "qemu ended with status $code"
echo "${0##*/}: the machine ended without a status" >&2
exit 126
