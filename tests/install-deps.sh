#!/bin/bash
# SPDX-License-Identifier: MIT
# Installs what `make demo' or the other targets need, and does nothing when all is there.
# Debian and Ubuntu: by apt-get, as root. Elsewhere: names what is missing and fails.

set -u

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# What is needed, and the Debian package that has it. A path is a file, a word with a colon a
# pkg-config module, a library of the compiler or one of clang's run time, anything else a command.
COMPILE="
	cc gcc
	make make
	pkg-config pkg-config
	pc:libmnl libmnl-dev
	/usr/include/stdio.h libc6-dev
	/usr/include/linux/rtnetlink.h linux-libc-dev
"
DEMO="$COMPILE
	patch patch
	wg wireguard-tools
	wg-quick wireguard-tools
	ip iproute2
	ping iputils-ping
	nft nftables
	sysctl procps
	unshare util-linux
	nsenter util-linux
	setpriv util-linux
	mount mount
	perl perl-base
"
DEB="
	dh debhelper
	dpkg-buildpackage dpkg-dev
"
RPM="
	rpmbuild rpm
"
FUZZ="$COMPILE
	clang clang
	rt:fuzzer libclang-rt-dev
	rt:asan libclang-rt-dev
"
CHECK="$DEMO $DEB $RPM $FUZZ
	wireguard-go wireguard-go
	bats bats
	prove perl
	pc:cmocka libcmocka-dev
	lib:libasan.so gcc
	lib:libubsan.so gcc
	python3 python3
	shellcheck shellcheck
	clang-tidy clang-tidy
	cppcheck cppcheck
	mandoc mandoc
	strace strace
	systemd-analyze systemd
	/usr/share/bash-completion/bash_completion bash-completion
	lintian lintian
"
CROSS="
	cc gcc
	make make
	pkg-config pkg-config
	pc:libmnl libmnl-dev
	pc:cmocka libcmocka-dev
	prove perl
	clang clang
	qemu-s390x qemu-user
	aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
	/usr/aarch64-linux-gnu/include/stdio.h libc6-dev-arm64-cross
	arm-linux-gnueabihf-gcc gcc-arm-linux-gnueabihf
	/usr/arm-linux-gnueabihf/include/stdio.h libc6-dev-armhf-cross
	s390x-linux-gnu-gcc gcc-s390x-linux-gnu
	/usr/s390x-linux-gnu/include/stdio.h libc6-dev-s390x-cross
"
LONG="$CHECK
	debootstrap debootstrap
"
BENCH="$DEMO
	wireguard-go wireguard-go
	python3 python3
	perf linux-perf
	strace strace
	valgrind valgrind
	kea-dhcp4 kea-dhcp4-server
	perfdhcp kea-admin
	dhcpd isc-dhcp-server
	dnsmasq dnsmasq-base
	gnuplot gnuplot-nox
"
# For virtual machines with Debian's kernels, which there are for Debian alone.
VM="
	qemu-system-x86_64 qemu-system-x86
	cpio cpio
	depmod kmod
	lz4 lz4
	xz xz-utils
	zstd zstd
	logger bsdutils
	ps procps
	/usr/bin/python3 python3-minimal
	/etc/protocols netbase
	/usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
"

# Also true where the module could be loaded by the first `ip link add'.
kernel_has_wireguard() {
	[[ -e /sys/module/wireguard ]] || modprobe -q -n wireguard 2>/dev/null
}

have() {
	case $1 in
	/*) [[ -e $1 ]] ;;
	pc:*) pkg-config --exists "${1#pc:}" 2>/dev/null ;;
	rt:*) compgen -G "$(clang -print-runtime-dir 2>/dev/null)/libclang_rt.${1#rt:}-*" >/dev/null ;;
	lib:*) [[ $(cc -print-file-name="${1#lib:}" 2>/dev/null) == /* ]] ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

# Sets NEEDS and PACKAGES to what is missing.
look() {
	local need package
	NEEDS=() PACKAGES=()
	while read -r need package; do
		[[ -z $need ]] || have "$need" || {
			NEEDS+=("${need#*:}")
			[[ " ${PACKAGES[*]} " == *" $package "* ]] || PACKAGES+=("$package")
		}
	done <<<"$WANTED"
}

# Before anything is built in vain, and that as another user.
[[ $* != @(demo|check|long|bench) ]] || ((UID == 0)) ||
	die "test hosts are namespaces, which only root can make: use sudo"

"$(dirname "$0")/vm/run.sh" possible || VM=
case "$#$*" in
1demo)
	WANTED=$DEMO
	kernel_has_wireguard || WANTED+=$'\twireguard-go wireguard-go\n'
	;;
1deb) WANTED=$COMPILE$DEB ;;
1rpm) WANTED=$COMPILE$RPM ;;
1check) WANTED=$CHECK$VM ;;
1fuzz) WANTED=$FUZZ ;;
1cross) WANTED=$CROSS ;;
1bench) WANTED=$BENCH ;;
1long) WANTED=$LONG$VM ;;
*) die "usage: ${0##*/} demo | check | fuzz | cross | long | bench | deb | rpm" ;;
esac

# Where system programs are is not in every user's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# Unpacked, not installed: it would take over this machine's DNS. Its test is skipped without it.
openresolv() {
	local root
	root=$(readlink -f "$(dirname "$0")/..")/build/openresolv
	[[ ! -e $root ]] && command -v apt-get dpkg-deb >/dev/null || return 0
	mkdir -p "$root" && (cd "$root" && apt-get download -q openresolv && dpkg-deb -x ./*.deb .)
}
[[ $* != @(check|long) ]] || openresolv || echo "${0##*/}: no openresolv to test with" >&2

look
((${#NEEDS[@]})) || exit 0
if [[ ! -e /etc/debian_version ]] || ! command -v apt-get >/dev/null; then
	die "missing: ${NEEDS[*]}; install them with this system's package manager"
fi

# Recommended packages would bring a kernel along with wireguard-tools.
INSTALL=(apt-get install --no-install-recommends -y "${PACKAGES[@]}")
((UID == 0)) || die "missing: ${NEEDS[*]}; run: sudo ${INSTALL[*]}"

export DEBIAN_FRONTEND=noninteractive
OPTIONS=(-q -o DPkg::Lock::Timeout=120)
echo "installing: ${PACKAGES[*]}"
"${INSTALL[@]}" "${OPTIONS[@]}" || {
	apt-get update "${OPTIONS[@]}" && "${INSTALL[@]}" "${OPTIONS[@]}"
} || die "could not install: ${PACKAGES[*]}"

# The DHCP servers of a benchmark are not to serve this machine's own networks.
if [[ $* == bench && -d /run/systemd/system ]]; then
	for package in "${PACKAGES[@]}"; do
		[[ $package != @(kea-dhcp4-server|isc-dhcp-server) ]] ||
			systemctl disable --now "$package" || die "$package may be running: stop it"
	done
fi

look
((!${#NEEDS[@]})) || die "still missing after the installation: ${NEEDS[*]}"
