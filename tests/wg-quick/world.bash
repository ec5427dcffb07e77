# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The mock world of the wg-quick tests: wg-quick in a folder of its own with nothing but stubs and a
# few harmless tools in PATH. Nothing of the host is changed.

ROOT="$(readlink -f "$BATS_TEST_DIRNAME/../..")"
PATCH="$ROOT/wg-quick-patches/0001-wg-quick-lease-addresses-with-auto.patch"
WG_QUICK="${WG_QUICK:-$ROOT/build/wg-quick}"
WG_QUICK_ORIG="${WG_QUICK_ORIG:-/usr/bin/wg-quick}"
WORLD="$BATS_TEST_TMPDIR/world"
CONFIG="$WORLD/etc/wg0.conf"
LOG="$WORLD/log"
BEHAVIOUR=( )
# shellcheck disable=SC2034 # the test files use it
PEER=$'[Peer]\nPublicKey = cGVlcgpwZWVyCnBlZXIKcGVlcgpwZWVyCnBlZXIKcGU='

# fail LINE...: ends a test with a reason
fail() {
	printf '%s\n' "$@" >&2
	return 1
}

# need_scripts: both scripts, and root, without which wg-quick would call sudo
need_scripts() {
	[[ $EUID -eq 0 ]] || skip "wg-quick does nothing without root"
	[[ -e $WG_QUICK ]] || fail "$WG_QUICK is missing: run \`make' first, or set WG_QUICK"
	[[ -e $WG_QUICK_ORIG ]] || fail "$WG_QUICK_ORIG is missing: set WG_QUICK_ORIG to an unpatched wg-quick"
	! grep -q 'wg dynamic' "$WG_QUICK_ORIG" || fail "$WG_QUICK_ORIG is patched: set WG_QUICK_ORIG to one that is not"
}

# world SCRIPT [MISSING]...: a fresh world around SCRIPT with the configuration on stdin
world() {
	local i script="$1"
	shift
	rm -rf "$WORLD"
	mkdir -p "$WORLD/bin" "$WORLD/tools" "$WORLD/state" "$WORLD/etc"
	: > "$LOG"
	for i in bash cat mv readlink rm sleep sort stat; do
		ln -s "$(type -P "$i")" "$WORLD/tools/$i"
	done
	for i in hook ip iptables iptables-restore iptables-save ip6tables ip6tables-restore \
		 ip6tables-save nft resolvconf sync sysctl wg wireguard-go; do
		ln -s "$BATS_TEST_DIRNAME/stub" "$WORLD/bin/$i"
	done
	for i in "$@"; do
		rm "$WORLD/bin/$i"
	done
	cp "$script" "$WORLD/bin/wg-quick"
	chmod 755 "$WORLD/bin/wg-quick"
	cat > "$CONFIG"
	chmod 600 "$CONFIG"
}

# mock NAME VALUE: how the stubs are to behave from now on (see there)
mock() {
	BEHAVIOUR+=( "MOCK_$1=$2" )
}

# mocked COMMAND...: becomes COMMAND in the world
mocked() {
	exec env -i PATH="$WORLD/tools" MOCK="$WORLD" "${BEHAVIOUR[@]}" "$@"
}

# wg_quick VERB [ARGUMENT]...: runs it, with the configuration unless told; what it printed is in
# $WORLD/out and $WORLD/err, its status is returned
wg_quick() {
	(( $# > 1 )) || set -- "$1" "$CONFIG"
	(mocked "$WORLD/bin/wg-quick" "$@" > "$WORLD/out" 2> "$WORLD/err" 3>&-)
}

# transcript VERB...: all there is to see of the world's wg-quick while it does one after the other
transcript() {
	local verb file status
	for verb in "$@"; do
		status=0
		wg_quick "$verb" || status=$?
		printf -- '== %s: status %d\n' "$verb" "$status"
		for file in out err log etc/wg0.conf; do
			printf -- '-- %s\n' "$file"
			cat "$WORLD/$file"
		done
		: > "$LOG"
	done
}

# ran COMMAND: whether the world saw just that
ran() {
	grep -qxF -- "$1" "$LOG" || fail "not run: $1" "$(cat "$LOG")"
}

# never PATTERN: no command matches it
never() {
	! grep -e "$1" "$LOG" || fail "should not have been run"
}

# in_order COMMAND...: the commands were run, in this order, whatever else between them
in_order() {
	local line at=0
	while read -r line; do
		[[ $line != "${*:at+1:1}" ]] || (( ++at ))
	done < "$LOG"
	(( at == $# )) || fail "not run in its place: ${*:at+1:1}" "$(cat "$LOG")"
}

# with_tree: this test file once more, for the script of the tree in WIREGUARD_TOOLS
with_tree() {
	local orig="$WIREGUARD_TOOLS/src/wg-quick/linux.bash" patched="$BATS_TEST_TMPDIR/wg-quick"
	[[ -z $WITHIN_TREE ]] || skip "this is that run"
	[[ -n $WIREGUARD_TOOLS ]] || skip "WIREGUARD_TOOLS, a tree of wireguard-tools, is not set"
	cp "$orig" "$patched"
	patch --no-backup-if-mismatch "$patched" < "$PATCH"
	WITHIN_TREE=1 WG_QUICK="$patched" WG_QUICK_ORIG="$orig" bats --tap "$BATS_TEST_FILENAME"
}
