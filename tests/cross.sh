#!/bin/bash
# SPDX-License-Identifier: MIT
# `make check-cross': builds program and unit tests for other processors with Debian's cross
# compilers, and for this one with clang, all without a warning; says how large each program is;
# and runs the tests, foreign ones under qemu-user.
#
# libmnl and cmocka for those are Debian's packages, unpacked into cross/ of $WG_DYNAMIC_CACHE
# (default ~/.cache/wg-dynamic): nothing foreign is installed, and this machine's own apt is asked for
# nothing but its sources and keys.

usage="usage: ${0##*/} BUILD"
root=$(readlink -f "$(dirname "$0")/..")
packages=(libmnl0 libmnl-dev libcmocka0 libcmocka-dev)
limit=245760 # bytes of code and data: the file also has what pads it to pages, up to 64 KiB each

# What Debian calls it, its compiler's name and qemu's for it: one of 64 bits, one of 32, and one
# that is big-endian.
targets=(
	"arm64 aarch64-linux-gnu aarch64"
	"armhf arm-linux-gnueabihf arm"
	"s390x s390x-linux-gnu s390x"
)

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# What prove calls for each test, of the path BUILD/NAME/unit/FLAVOUR/TEST.
run_one() {
	local name=${1%/unit/*} run=() target arch triplet qemu world
	name=${name##*/}
	for target in "${targets[@]}"; do
		read -r arch triplet qemu <<<"$target"
		[[ $arch != "$name" ]] || run=(env UNDER_QEMU_USER=1 "qemu-$qemu" -L "/usr/$triplet"
			-E "LD_LIBRARY_PATH=$LIBRARIES/$arch/usr/lib/$triplet")
	done
	world=$(mktemp -d "$WORLDS/unit.XXXXXX") && cd "$world" &&
		CMOCKA_MESSAGE_OUTPUT=TAP exec timeout -k 5 300 "${run[@]}" "$root/$1"
	exit 1
}

# With a state of its own, apt takes the other processors for this machine's. An index that it can't
# get may not matter: the download tells.
fetch() { # ARCH...
	local dir=$WORLDS/apt apt arch package names=()
	apt=(apt-get -q -o APT::Architecture="$1" -o APT::Sandbox::User= -o Dir::State="$dir"
		-o Dir::State::status=/dev/null -o Dir::Cache="$dir" -o Acquire::Languages=none)
	for arch; do
		apt+=(-o "APT::Architectures::=$arch")
		names+=("${packages[@]/%/:$arch}")
	done
	echo "fetching: ${names[*]}"
	mkdir -p "$dir"/{lists/partial,archives/partial,debs} || exit 1
	"${apt[@]}" update >"$dir/log" 2>&1
	if ! (cd "$dir/debs" && "${apt[@]}" download "${names[@]}") >>"$dir/log" 2>&1; then
		cat "$dir/log" >&2
		die "cannot fetch ${names[*]}"
	fi
	for arch; do
		# Unpacked beside its place, for only there a rename is all or nothing.
		rm -rf "$LIBRARIES/$arch.new"
		for package in "$dir"/debs/*_"$arch".deb; do
			dpkg-deb -x "$package" "$LIBRARIES/$arch.new" || die "cannot unpack $package"
		done
		mv -T "$LIBRARIES/$arch.new" "$LIBRARIES/$arch" || die "cannot write to $LIBRARIES"
	done
}

quietly() { # COMMAND...: what it says is shown if it fails.
	"$@" >"$WORLDS/output" 2>&1 || { cat "$WORLDS/output" >&2 && die "failed: $*"; }
}

build() { # NAME STRIP MAKE-ARGUMENT...: builds the program and $units, and says its size.
	local dir=$builds/$1 here=("${units[@]/#/$builds/$1/unit/}") text data size
	quietly make -j"${JOBS:-2}" BUILD="$dir" WERROR=-Werror "${@:3}" "$dir/wg-dynamic" "${here[@]}"
	quietly "$2" -o "$WORLDS/stripped" "$dir/wg-dynamic"
	size=$(stat -c %s "$WORLDS/stripped")
	read -r text data _ < <("${2%strip}size" "$WORLDS/stripped" | tail -n 1)
	printf '%-6s %7d bytes, stripped, with %d of code and data\n' "$1" "$size" $((text + data))
	((text + data <= limit)) || die "$1: the limit is $limit bytes of code and data"
	tests+=("${here[@]}")
}

[[ $# != 2 || $1 != one ]] || run_one "$2"
(($# == 1)) || die "$usage"
cd "$root" || exit 1
builds=$1
WORLDS=$(mktemp -d "${TMPDIR:-/tmp}/wg-cross.XXXXXX") || exit 1
# They go with the compilers of the same release.
LIBRARIES=$(readlink -m "${WG_DYNAMIC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/wg-dynamic}/cross")
# shellcheck source=/dev/null
LIBRARIES+=/$(. /etc/os-release && echo "$VERSION_CODENAME")
export WORLDS LIBRARIES LC_ALL=C
unset "${!MAKE@}" MFLAGS # of the make that runs this
trap 'rm -rf "$WORLDS"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A second run waits, and finds what the first has fetched.
mkdir -p "$LIBRARIES" || die "cannot make a folder for libraries: $LIBRARIES"
exec {lock}>"$LIBRARIES/lock" && flock "$lock" || exit 1
missing=()
for target in "${targets[@]}"; do
	[[ -d $LIBRARIES/${target%% *} ]] || missing+=("${target%% *}")
done
((!${#missing[@]})) || fetch "${missing[@]}"
exec {lock}>&-

units=() tests=()
build amd64 strip # its tests are those of `make check'
mapfile -t units < <(basename -a -s .c tests/unit/test_*.c)
units=("${units[@]/#/plain/}")
build clang strip CC=clang
# Neither room nor pace for the address sanitizer is there in qemu-user.
units+=("${units[@]/#plain/asan}")
for target in "${targets[@]}"; do
	read -r arch triplet _ <<<"$target"
	build "$arch" "$triplet-strip" CC="$triplet-gcc" PKG_CONFIG=false \
		CPPFLAGS="-I$LIBRARIES/$arch/usr/include" \
		LDFLAGS="-L$LIBRARIES/$arch/usr/lib/$triplet" \
		flavour_asan="-g -O1 -fsanitize=undefined -fno-sanitize-recover=all"
done
prove -j "${JOBS:-2}" --timer --comments --exec "tests/cross.sh one" "${tests[@]}"
