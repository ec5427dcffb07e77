#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The Debian package in a clean Debian 12: installed, run, upgraded (itself, and wireguard-tools under
# it), interrupted, removed. What apt said is kept in build/packaging/.

bats_require_minimum_version 1.5.0
load root

setup_file() {
	unset "${!MAKE@}" MFLAGS # of the make that runs this
	local version
	cd "$BATS_TEST_DIRNAME/../.." || return
	version=$(make -s print-VERSION)
	tests/packaging/build.sh deb "$BATS_FILE_TMPDIR/built" "$version"
	cd "$BATS_FILE_TMPDIR" || return
	mv built/wg-dynamic_*.deb older.deb
	newer older.deb newer.deb "$version+1"
	root_new "$BATS_FILE_TMPDIR/first"
	cp first/var/cache/apt/archives/wireguard-tools_*.deb tools.deb
	newer tools.deb tools-fit.deb 1.0.20990101-1 -e '2i # newer'
	newer tools.deb tools-unfit.deb 1.0.20990102-1 -e '2i # newer' -e "s/set_mtu_up/set_mtu_and_up/"
	rm -rf first
}

# newer DEB NEW-DEB VERSION [EDIT...]: repacks it, with what sed makes of its wg-quick.
newer() {
	local folder
	folder=$(mktemp -d)
	dpkg-deb -R "$1" "$folder/deb"
	sed -i "s/^Version: .*/Version: $3/" "$folder/deb/DEBIAN/control"
	(($# == 3)) || sed -i "${@:4}" "$folder/deb/usr/bin/wg-quick"
	dpkg-deb --root-owner-group -b "$folder/deb" "$2"
	rm -rf "$folder"
}

setup() {
	LOGS=$TREE/build/packaging
	mkdir -p "$LOGS"
	root_new "$BATS_TEST_TMPDIR/root"
	cp "$BATS_FILE_TMPDIR"/*.deb "$ROOT/tmp/"
}

teardown() {
	rm -rf "$ROOT"
}

# apt LOG ARGUMENT...: apt-get; what it says is added to LOG as well.
apt() {
	local status=0 said=$BATS_TEST_TMPDIR/apt
	echo "# apt-get ${*:2}" >>"$LOGS/$1.log"
	in_root apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 \
		-o Dpkg::Options::=--force-unsafe-io "${@:2}" >"$said" 2>&1 || status=$?
	tee -a "$LOGS/$1.log" <"$said"
	return "$status"
}

# dpkg ARGUMENT...: without the waits for the disk.
dpkg() {
	in_root dpkg --force-unsafe-io "$@"
}

# both_work: whoever they are, both names stand for a program that runs.
both_work() {
	in_root sh -c 'wg --version && wg-quick --help' >/dev/null 2>&1
}

# offered WORD...: what bash offers for the last.
offered() {
	# shellcheck disable=SC2016 # for the bash inside
	in_root bash -c '
		. "/usr/share/bash-completion/completions/$1"
		function=$(complete -p "$1" | sed "s/.* -F \([^ ]*\) .*/\1/")
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		"$function" && echo "${COMPREPLY[*]}"' bash "$@"
}

# in_front auto|plain: ours stand in front of those of wireguard-tools, all whole.
in_front() {
	local bin=$ROOT/usr/bin
	both_work
	in_root wg dynamic help >/dev/null
	dpkg --verify wireguard-tools wg-dynamic
	[[ $(find "$ROOT/usr" -name '*.wg-dynamic-new') == "" ]]
	[[ $(offered wg dyn) == dynamic && $(offered wg genk) == genkey ]]
	cp "$bin/wg-quick.wireguard-tools" "$BATS_TEST_TMPDIR/wg-quick"
	if [[ $1 == auto ]]; then
		patch -s "$BATS_TEST_TMPDIR/wg-quick" "$ROOT"/usr/share/wg-dynamic/*.patch
		grep -q 'wg dynamic client' "$bin/wg-quick"
	fi
	cmp "$bin/wg-quick" "$BATS_TEST_TMPDIR/wg-quick"
	[[ $(stat -c '%a %U' "$bin/wg" "$bin/wg-quick") == $'755 root\n755 root' ]]
}

# with_tools: wireguard-tools and patch are there before us; the tree then is in before.
with_tools() {
	apt log install patch wireguard-tools
	manifest >"$BATS_TEST_TMPDIR/before"
}

# without_trace: the tree is what it was.
without_trace() {
	diff "$BATS_TEST_TMPDIR/before" <(manifest)
}

@test "installed with all it needs, leases, and goes without a trace" {
	rm -f "$LOGS"/*.log
	manifest >"$BATS_TEST_TMPDIR/before"
	grep -q '^/usr/bin/sed ' "$BATS_TEST_TMPDIR/before"
	apt install install /tmp/older.deb
	in_front auto
	[[ $(in_root getent passwd _wg-dynamic) == _wg-dynamic:*:/nonexistent:/usr/sbin/nologin ]]
	in_root /mnt/tests/packaging/lease.sh auto >"$LOGS/lease.log" 2>&1
	mkdir -m 700 "$ROOT/var/lib/wg-dynamic"
	touch "$ROOT/var/lib/wg-dynamic/wg0.leases"
	apt purge purge --autoremove wg-dynamic
	without_trace
}

@test "removed: leases and user stay for another time; purged: nothing stays" {
	with_tools
	apt log install /tmp/older.deb
	in_front auto
	mkdir "$ROOT/var/lib/wg-dynamic"
	apt log remove wg-dynamic
	dpkg --verify
	run -1 without_trace
	[[ $(grep '^[<>]' <<<"$output" | grep -o ' /[^ ]*' | sort -u) == $' /etc/group
 /etc/gshadow\n /etc/passwd\n /etc/shadow\n /var/lib/dpkg/info/wg-dynamic.list
 /var/lib/dpkg/info/wg-dynamic.postrm\n /var/lib/wg-dynamic' ]]
	apt log install /tmp/older.deb
	in_front auto
	apt log purge wg-dynamic
	without_trace
}

@test "upgraded, reinstalled, downgraded" {
	with_tools
	apt log install /tmp/older.deb
	apt log install /tmp/newer.deb
	in_front auto
	apt log install --reinstall /tmp/newer.deb
	apt log install --reinstall wireguard-tools
	in_front auto
	apt log install --allow-downgrades /tmp/older.deb
	in_front auto
	apt log purge wg-dynamic
	without_trace
}

@test "an upgrade restarts the services of servers, and nothing else does" {
	local name path=/tmp/stub:/usr/sbin:/usr/bin:/sbin:/bin asked=$ROOT/tmp/asked
	with_tools
	mkdir -p "$ROOT/tmp/stub" "$ROOT/run/systemd/system"
	for name in deb-systemd-invoke systemctl; do
		# shellcheck disable=SC2016 # for the sh inside
		printf '#!/bin/sh\necho "${0##*/} $*" >>/tmp/asked\n' >"$ROOT/tmp/stub/$name"
		chmod +x "$ROOT/tmp/stub/$name"
	done
	in_root env PATH="$path" dpkg --force-unsafe-io -i /tmp/older.deb
	[[ $(<"$asked") == "systemctl --system daemon-reload" ]]
	rm "$asked"
	in_root env PATH="$path" dpkg --force-unsafe-io -i /tmp/newer.deb
	[[ $(<"$asked") == "systemctl --system daemon-reload
deb-systemd-invoke try-restart wg-dynamic-server@*.service" ]]
	rm "$asked"
	in_root env PATH="$path" dpkg --force-unsafe-io -i /tmp/tools-fit.deb
	in_front auto
	run -1 grep wg-dynamic "$asked" # wireguard-tools asks for its own
}

@test "a newer wg-quick is patched; one that the patch does not fit stays as it is, with a warning" {
	with_tools
	apt log install /tmp/older.deb
	apt upgrade install /tmp/tools-fit.deb
	in_front auto
	grep -q '^# newer' "$ROOT/usr/bin/wg-quick"
	run -0 --separate-stderr apt upgrade install /tmp/tools-unfit.deb
	[[ $output == *"wg-dynamic: warning: "*" does not fit this version of wg-quick"* ]]
	in_front plain
	in_root /mnt/tests/packaging/lease.sh hooks >"$LOGS/lease-hooks.log" 2>&1
	apt upgrade install --reinstall /tmp/older.deb
	in_front plain
	apt upgrade install --allow-downgrades /tmp/tools-fit.deb
	in_front auto
	apt upgrade install --allow-downgrades /tmp/tools.deb
	apt upgrade purge wg-dynamic
	without_trace
}

@test "at each moment both names stand for a program" {
	local watcher
	with_tools
	in_root sh -c 'until [ -e /tmp/enough ] || [ ! -e /tmp ]; do
			wg --version && wg-quick --help && echo alive || echo dead
		done 2>&1' >"$BATS_TEST_TMPDIR/watch" &
	watcher=$!
	apt log install /tmp/older.deb
	apt log install /tmp/tools-fit.deb
	apt log install /tmp/newer.deb
	apt log install /tmp/tools-unfit.deb
	apt log purge wg-dynamic
	touch "$ROOT/tmp/enough"
	wait "$watcher"
	(($(grep -c '^alive$' "$BATS_TEST_TMPDIR/watch") > 100))
	run -1 grep -B 5 '^dead$' "$BATS_TEST_TMPDIR/watch"
}

# kill_at N: has the maintainer script killed by which the N-th of these commands is called, when
# that is done; the count is in /tmp/count.
kill_at() {
	local name
	mkdir -p "$ROOT/tmp/stub"
	echo 0 >"$ROOT/tmp/count"
	for name in cp dpkg-divert ln mv patch rm sync userdel; do
		cat >"$ROOT/tmp/stub/$name" <<-EOF
			#!/bin/bash
			PATH=\${PATH#/tmp/stub:}
			$name "\$@"
			status=\$?
			if grep -q 'wg-dynamic\.post' "/proc/\$PPID/cmdline"; then
				echo \$((\$(</tmp/count) + 1)) >/tmp/count
				((\$(</tmp/count) != $1)) || kill -KILL \$PPID
			fi
			exit \$status
		EOF
		chmod +x "$ROOT/tmp/stub/$name"
	done
}

# killed DPKG-ARGUMENT...: did the N-th call come, and with it the end?
killed() {
	echo 0 >"$ROOT/tmp/count"
	! in_root env PATH=/tmp/stub:/usr/sbin:/usr/bin:/sbin:/bin dpkg --force-unsafe-io "$@" 2>&1
}

@test "killed at any step of its installation, it goes on or goes away" {
	local n=0
	with_tools
	while kill_at $((++n)) && killed -i /tmp/older.deb; do
		both_work
		dpkg --configure -a
		in_front auto
		dpkg --purge wg-dynamic
		without_trace
		killed -i /tmp/older.deb
		dpkg --purge wg-dynamic
		without_trace
	done
	((n > 12))
}

@test "killed at any step of its removal, it goes on or comes back" {
	local n=0
	with_tools
	dpkg -i /tmp/older.deb
	while kill_at $((++n)) && killed --purge wg-dynamic; do
		both_work
		dpkg -i /tmp/older.deb
		in_front auto
		killed --purge wg-dynamic
		dpkg --purge wg-dynamic
		without_trace
		dpkg -i /tmp/older.deb
	done
	((n > 12))
}

@test "wireguard-tools goes first, comes back, or goes with us" {
	apt log install patch
	manifest >"$BATS_TEST_TMPDIR/before"
	apt log install /tmp/older.deb
	dpkg --force-depends --purge wireguard-tools
	apt log install wireguard-tools
	in_front auto
	dpkg --force-depends --purge wireguard-tools
	dpkg --purge wg-dynamic
	without_trace
	apt log install /tmp/older.deb
	apt log purge wireguard-tools
	dpkg --purge wg-dynamic
	without_trace
}

@test "unpacked and never configured, it goes away" {
	with_tools
	dpkg --unpack /tmp/older.deb
	both_work
	dpkg --purge wg-dynamic
	without_trace
	dpkg -i /tmp/older.deb
	dpkg --unpack /tmp/newer.deb
	both_work
	dpkg --purge wg-dynamic
	without_trace
}

@test "another's diversion stops it, and it takes nothing from there" {
	with_tools
	in_root dpkg-divert --local --rename --divert /usr/bin/wg.mine --add /usr/bin/wg
	printf '#!/bin/sh\nexec /usr/bin/wg.mine "$@"\n' >"$ROOT/usr/bin/wg"
	chmod +x "$ROOT/usr/bin/wg"
	manifest >"$BATS_TEST_TMPDIR/before"
	run -1 dpkg -i /tmp/older.deb
	[[ $output == *"diversion of /usr/bin/wg"*clashes* ]]
	both_work
	dpkg --purge wg-dynamic
	without_trace
}
