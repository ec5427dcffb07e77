#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Static analysis of the sources, by three programs. What each is not asked for has its reason here,
# or for clang-tidy in .clang-tidy.

setup() {
	cd "$BATS_TEST_DIRNAME/.." || return
}

# flags COMMAND...: with the flags of a compiler
flags() {
	"$@" -std=gnu11 -D_GNU_SOURCE -Isrc -Isrc/compat -DRUNSTATEDIR='"run"' -DSTATEDIR='"state"'
}

tidy() {
	flags clang-tidy --quiet "$1" -- 2>/dev/null
}

# malloc-leak: takes what an argument points to for lost, and children that end free nothing
# null-dereference: does not know of lines that they have a `='
analyzer() {
	flags gcc "$1" -O1 -Wall -Wextra -fanalyzer -Wno-analyzer-malloc-leak \
		-Wno-analyzer-null-dereference -c -o /dev/null 2>&1
}

# each FUNCTION: for every source, two at a time; fails if it says anything
each() {
	local said
	export -f flags tidy analyzer
	said=$(printf '%s\n' src/*.c src/compat/*.c | nice -n 10 xargs -P 2 -n 1 bash -c "$1 \"\$1\"" -)
	[[ -z $said ]] || { echo "$said" >&2 && return 1; }
}

@test "clang-tidy finds nothing" {
	each tidy
}

@test "cppcheck finds nothing" {
	# uninitvar: there it takes the first n entries, all of which have been set, for none
	nice -n 10 cppcheck --quiet --std=c11 --enable=warning,portability,performance \
		--error-exitcode=1 -D__x86_64__ -Isrc -Isrc/compat \
		--suppress=uninitvar:src/resolver.c src
}

@test "gcc -fanalyzer finds nothing" {
	each analyzer
}
