#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# make deb and make rpm, as far as that needs no other system: what is in the packages, and what
# lintian says of them. (packaging/debian.bats installs one.)

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/.." || return
	unset "${!MAKE@}" MFLAGS # of the make that runs this
	VERSION=$(make -s print-VERSION)
}

# installed: what `make install' puts into /usr, but for wg and wg-quick, which cannot be there.
installed() {
	make -s BUILD="$BATS_TEST_TMPDIR/build" CFLAGS=-O0 PREFIX=/usr SYSTEMDUNITDIR="$1" \
		WITH_WGQUICK=no DESTDIR="$BATS_TEST_TMPDIR/dest" install >/dev/null
	files "$BATS_TEST_TMPDIR/dest" | grep -v '^/usr/bin/wg$'
}

# files FOLDER: what it has, by the path that it is to get; man pages as they were.
files() {
	(cd "$1" && find . ! -type d | sed 's,^\.,,; s,^\(/usr/share/man/.*\)\.gz$,\1,' | sort)
}

@test "the Debian package has all that is installed, and lintian finds nothing" {
	local deb root=$BATS_TEST_TMPDIR/root
	make BUILD="$BATS_TEST_TMPDIR" deb
	deb=$(echo "$BATS_TEST_TMPDIR"/deb/wg-dynamic_"$VERSION"_*.deb)
	[[ $(dpkg -f "$deb" Version) == "$VERSION" ]]
	run -0 --separate-stderr lintian --display-level '>=warning' --fail-on error,warning \
		"$BATS_TEST_TMPDIR"/deb/*.changes
	[[ -z $output ]]
	dpkg -x "$deb" "$root"
	diff <(installed /lib/systemd/system) \
		<(files "$root" | grep -v '/doc/\|/lintian/\|^/usr/share/wg-dynamic/')
	cmp wg-quick-patches/0001-* "$root"/usr/share/wg-dynamic/0001-*
	grep -qx 'wg="/usr/bin/wg.wireguard-tools"' "$root/usr/share/wg-dynamic/wg"
}

@test "the RPM has all that is installed" {
	local file
	make BUILD="$BATS_TEST_TMPDIR" rpm
	file=$(echo "$BATS_TEST_TMPDIR"/rpm/wg-dynamic-"$VERSION"-1*."$(uname -m)".rpm)
	diff <(installed /usr/lib/systemd/system) <(rpm -qlp "$file" |
		grep -v '/\.build-id\|/doc/\|/licenses/' | sed 's,^\(/usr/share/man/.*\)\.gz$,\1,' | sort)
	rpm -qp --requires "$file" | grep -qx wireguard-tools
	rpm -qp --scripts "$file" | grep -q 'useradd .*_wg-dynamic'
	[[ -s $(echo "$BATS_TEST_TMPDIR"/rpm/*.src.rpm) ]]
}
