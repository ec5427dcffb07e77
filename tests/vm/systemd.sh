#!/bin/bash
# SPDX-License-Identifier: MIT
# Boots this machine's systemd, with udev and networkd, in a virtual machine (vm.sh), and runs
# units.bats there, on the units as built: systemd.sh [KERNEL-SUITE]. Prints its TAP.

set -euo pipefail
cd "$(dirname "$0")/../.."
if ! tests/vm/run.sh possible; then
	echo "1..0 # SKIP kernels are had from Debian by apt, for x86_64"
	exit
fi
CACHE=$(readlink -m "${WG_DYNAMIC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/wg-dynamic}/vm")
ROOT=$(mktemp -d "${TMPDIR:-/tmp}/vm-systemd.XXXXXX")
trap 'rm -rf "$ROOT"' EXIT

# What is started there. Of systemd's many units only those that this needs are brought along.
UNITS=({basic,sysinit,sockets,slices,paths,timers,local-fs,network{,-pre,-online},nss-lookup}.target
	{multi-user,shutdown,umount,final,reboot}.target systemd-reboot.service
	systemd-journald{.service,.socket,-dev-log.socket}
	systemd-udevd{.service,-control.socket,-kernel.socket} systemd-udev-trigger.service
	systemd-networkd{.service,.socket} systemd-networkd-wait-online@.service
	wg-quick@.service wg-quick.target)
PROGRAMS=(/lib/systemd/systemd{,-journald,-networkd,-networkd-wait-online,-sysctl,-shutdown}
	/bin/{systemctl,journalctl,networkctl} /usr/bin/systemd-escape)

# udev is in few containers; unpacked, it need not be installed. (It wants no other package of the
# same version.)
fetch_udev() {
	local new=$CACHE/udev.new
	echo "${0##*/}: downloading udev, into $CACHE" >&2
	rm -rf "$new" && mkdir "$new" && (cd "$new" && apt-get -qq download udev 2>/dev/null) &&
		dpkg -x "$new"/udev_*.deb "$new" && rm "$new"/udev_*.deb && mv -T "$new" "$CACHE/udev"
}

udev() {
	[[ ! -e /lib/systemd/system/systemd-udevd.service ]] || { echo / && return; }
	mkdir -p "$CACHE" || exit 125
	(
		flock 9
		[[ -e $CACHE/udev ]] || fetch_udev
	) 9>"$CACHE/lock" || { echo "${0##*/}: cannot download udev" >&2 && exit 125; }
	echo "$CACHE/udev/"
}

put() { # FOLDER FILE...: copies them, with what links lead to, from below that folder.
	local file to
	for file in "${@:2}"; do
		to=$ROOT/usr${file#/usr}
		mkdir -p "${to%/*}"
		cp -L "$1$file" "$to"
	done
}

UDEV=$(udev)
for unit in "${UNITS[@]}"; do
	case $unit in
	*udev*) put "$UDEV" "/lib/systemd/system/$unit" ;;
	*) put / "/lib/systemd/system/$unit" ;;
	esac
done
put / "${PROGRAMS[@]}" /lib/udev/rules.d/99-systemd.rules
put "$UDEV" /bin/udevadm
ln -s ../../bin/udevadm "$ROOT/usr/lib/systemd/systemd-udevd"

# The product, as `make install' puts it; its wg wants a shell.
make -s -o all DESTDIR="$ROOT" WITH_WGQUICK=no install >/dev/null
ln -s bash "$ROOT/usr/bin/sh"

# The machine's own files.
mkdir -p "$ROOT"/etc/systemd/{system,network} "$ROOT/tests"
cp tests/vm/units.bats "$ROOT/tests/"
printf '%s\n' root:x:0:0::/root:/bin/bash nobody:x:65534:65534::/:/bin/false \
	_wg-dynamic:x:990:990::/:/bin/false systemd-network:x:991:991::/:/bin/false \
	>"$ROOT/etc/passwd"
printf '%s\n' root:x:0: nogroup:x:65534: _wg-dynamic:x:990: systemd-network:x:991: \
	>"$ROOT/etc/group"
echo 0123456789abcdef0123456789abcdef >"$ROOT/etc/machine-id"
cat >"$ROOT/etc/systemd/system/default.target" <<-'EOF_'
	[Unit]
	Requires=basic.target
	Wants=tests.service
EOF_
cat >"$ROOT/etc/systemd/system/tests.service" <<-'EOF_'
	[Unit]
	Wants=systemd-journald.service systemd-udevd.service systemd-udev-trigger.service
	After=systemd-journald.service systemd-udevd.service systemd-udev-trigger.service
	After=basic.target

	[Service]
	Type=oneshot
	Environment=LC_ALL=C HOME=/root TERM=dumb
	ExecStart=/bin/bash -c 'bats --tap /tests/units.bats; echo "status $?" >/dev/ttyS1'
	ExecStopPost=/bin/systemctl --force --force reboot
	StandardOutput=tty
	TTYPath=/dev/ttyS0
	TimeoutStartSec=infinity
EOF_
cat >"$ROOT/init" <<-'EOF_'
	#!/bin/bash
	mount -t devtmpfs dev /dev
	stty -F /dev/ttyS0 -opost
	stty -F /dev/ttyS1 -opost
	exec /lib/systemd/systemd --log-target=journal --show-status=false
EOF_
chmod +x "$ROOT/init"

tests/vm/vm.sh -t 2400 -k "${1:-bookworm}" -f "$ROOT:/" true
