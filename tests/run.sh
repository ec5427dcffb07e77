#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs the tests by one prove, whose closing line is the last: all, with the unit tests that have
# been built in BUILD, of which some are also run on the kernel of a virtual machine; `long': on two
# kernels, and all that can be; `vm': those some, on both; or, `installed', those that make sense for
# an installed wg, wg-quick and wg-dynamic.

usage="usage: ${0##*/} BUILD [long | vm] | installed"
root=$(readlink -f "$(dirname "$0")/..")

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# What prove calls for each file; unit tests leave their files in a folder of their own. One that
# hangs has failed.
if [[ $# == 2 && $1 == one ]]; then
	# Virtual machines have a time limit of their own, and must not take the processors from the rest.
	case $2 in
	vm:*)
		IFS=: read -ra vm <<<"${2#vm:}"
		exec nice -n 19 tests/vm/run.sh "${vm[@]}"
		;;
	fuzz:*) exec timeout -k 10 1800 tests/fuzz/run.sh build/fuzz "${2#fuzz:}" ;;
	systemd:*) exec nice -n 19 timeout -k 10 2500 tests/vm/systemd.sh "${2#*:}" ;;
	tests/packaging/* | tests/analysis.bats) exec timeout -k 10 1800 bats --tap "$2" ;;
	*/crash.bats | */cut.bats | */faults.bats | */day.bats) exec timeout -k 10 7200 bats --tap "$2" ;;
	*.bats) exec timeout -k 10 900 bats --tap "$2" ;;
	esac
	world=$(mktemp -d "$WORLDS/unit.XXXXXX") && cd "$world" &&
		CMOCKA_MESSAGE_OUTPUT=TAP exec timeout -k 5 120 "$root/$2"
	exit 1
fi

# The wg-quick of before the patch, to compare with.
unpatched() {
	local patch
	cp "$WG_QUICK" "$WORLDS/wg-quick" || die "cannot copy $WG_QUICK"
	for patch in wg-quick-patches/*-wg-quick-*.patch; do
		patch -R -s -f --no-backup-if-mismatch "$WORLDS/wg-quick" "$patch" ||
			die "$WG_QUICK has not got our patch: which wg-quick is first in PATH?"
	done
}

# The namespace tests mostly wait, so more of them run than there are processors; the longest files
# begin first.
[[ $# == 1 || ($# == 2 && $1 != installed && $2 == @(long|vm)) ]] || die "$usage"
cd "$root" || exit 1
((UID == 0)) || die "test hosts are namespaces: run this as root"
WORLDS=$(mktemp -d "${TMPDIR:-/tmp}/wg-tests.XXXXXX") || exit 1
export WORLDS LC_ALL=C
trap 'rm -rf "$WORLDS"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mapfile -t netns < <(ls -S tests/netns/*.bats)
if [[ $1 == installed ]]; then
	wg dynamic help >/dev/null 2>&1 || die "the wg in PATH knows no \`dynamic': $(type -P wg)"
	WG_QUICK=$(type -P wg-quick) || die "there is no wg-quick in PATH"
	unpatched
	export WG_QUICK WG_QUICK_ORIG=$WORLDS/wg-quick WG_DYNAMIC_INSTALLED=1
	files=("${netns[@]}" tests/wg-quick/*.bats)
else
	[[ $1 -ef build ]] || die "$1: the namespace tests take programs from build/ only; $usage"
	files=(vm:bookworm systemd:bookworm)
	[[ ${2-} != vm ]] || files+=(vm:bookworm-backports)
	[[ ${2-} != long ]] || files=(vm:bookworm{,-backports}:all systemd:bookworm{,-backports}
		tests/packaging/debian.bats)
	[[ ${2-} != long ]] || export CRASH_POINTS=3000 LONG_DAY=1
fi
if [[ $1 != installed && ${2-} != vm ]]; then
	# Static analysis takes one processor for minutes.
	files+=("fuzz:$([[ ${2-} == long ]] && echo 60 || echo 6)" tests/analysis.bats "${netns[@]}")
	for name in tests/*.bats tests/wg-quick/*.bats; do
		[[ $name == */analysis.bats ]] || files+=("$name")
	done
	for name in tests/unit/test_*.c; do
		name=${name##*/}
		for file in build/unit/{asan,plain}/"${name%.c}"; do
			[[ -x $file ]] || die "$file is not built: make check"
			files+=("$file")
		done
	done
fi

# Virtual machines take one for minutes, with what the others leave of the processors.
prove -j "${JOBS:-5}" --timer --comments --exec "tests/run.sh one" "${files[@]}"
