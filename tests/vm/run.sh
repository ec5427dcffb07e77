#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs namespace tests in a virtual machine with the kernel of a suite (see vm.sh), on the WireGuard
# of that kernel, and prints what bats does there: those with the tag vm, or all but those that
# many.py plays a device for. Or tells by its status whether that is possible on this machine.

usage="usage: ${0##*/} SUITE [all] | possible"
[[ $# == 1 || ($# == 2 && $2 == all) ]] || { echo "$usage" >&2 && exit 1; }
cd "$(dirname "$0")/../.." || exit 1

possible() (
	# shellcheck source=/dev/null
	[[ $(uname -m) == x86_64 ]] && . /etc/os-release && [[ $ID == debian ]]
)

[[ $1 != possible ]] || { possible; exit; }
possible || { echo "1..0 # SKIP kernels are had from Debian by apt, for x86_64" && exit 0; }

limit=2400 which="--filter-tags vm tests/netns"
if [[ -n ${2-} ]]; then
	mapfile -t files < <(grep -L "^[[:space:]]load many" tests/netns/*.bats)
	limit=14400 which=${files[*]}
fi
programs=()
for file in wg-dynamic wg wg-quick ${2:+asan/wg-dynamic asan/hostile hostile clock.so}; do
	programs+=(-f "build/$file:/wg-dynamic/build/$file")
done
console=$(mktemp) || exit 1
trap 'rm -f "$console"' EXIT

# Without the module wg-quick would go on with wireguard-go.
tests/vm/vm.sh -k "$1" -t "$limit" "${programs[@]}" -f tests:/wg-dynamic/tests \
	-f README.md:/wg-dynamic/README.md -f src/systemd:/wg-dynamic/src/systemd "
	echo '# Linux' \$(uname -r)
	modprobe wireguard && cd /wg-dynamic && BATS_TEST_TIMEOUT=600 bats --tap $which" | tee "$console"
code=${PIPESTATUS[0]}

# What is no TAP prove would not show.
((!code)) || grep -vE '^(not )?ok |^#|^1\.\.' "$console" | tail -n 60 >&2
exit "$code"
