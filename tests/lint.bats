#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What needs no network: the text of the files, the promises of README and `make help', and
# installation. (That the patch brings no finding into wg-quick is in wg-quick/patch.bats.)

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/.." || return
	unset "${!MAKE@}" MFLAGS WG WG_QUICK # of the make that runs this
}

# files: all of the project's, whether git is there or not; inputs of fuzz targets have any bytes
files() {
	find . -path ./.git -prune -o -path ./build -prune -o -path ./tests/fuzz/corpus -prune -o \
		-type f -print
}

# none COMMAND...: it finds nothing; what it does find is shown
none() {
	local found
	found=$("$@" 2>&1) || true
	[[ -z $found ]] || { echo "$found" >&2 && return 1; }
}

# scripts: those of sh and bash, by their name or first line
scripts() {
	local file first
	files | while read -r file; do
		read -r first <"$file" || true
		case $file:$first in
		*.sh:* | *.bash:* | *.bats:* | *.bash-completion:* | *:'#!'*sh) echo "$file" ;;
		esac
	done
}

@test "shellcheck finds nothing in any script" {
	local list
	mapfile -t list < <(scripts)
	((${#list[@]} > 10))
	[[ " ${list[*]} " == *" ./.ci/run "* && " ${list[*]} " == *" ./tests/run.sh "* ]]
	shellcheck "${list[@]}"
}

astray() {
	grep -n -A1 -r --include="*.bats" "^# bats test_tags=" tests | grep -v -e ":# bats " -e "-@test " -e "^--$"
}

@test "each tag is that of the test in the next line" {
	none astray
}

@test "mandoc finds nothing in the man pages" {
	local pages
	mapfile -t pages < <(grep -L '^\.so ' man/*)
	((${#pages[@]} == 2))
	none mandoc -T lint -W warning "${pages[@]}"
}

wide() {
	files | grep '^\./src/' | while read -r file; do
		expand "$file" | grep -n '.\{101\}' | sed "s,^,$file:,"
	done
}

@test "no line of the source is wider than 100 columns" {
	none wide
}

@test "each header compiles alone" {
	local header
	for header in src/*.h src/*/*.h; do
		cc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Isrc -Isrc/compat -fsyntax-only \
			-x c -include "$header" /dev/null
	done
}

@test "no file knows on which machine it was written" {
	none grep -rnE '(^|[^A-Za-z0-9.])/(wor[k]|hom[e]|roo[t])/|bash_job[s]' --exclude-dir=.git \
		--exclude-dir=build .
}

@test "each file says under which licence it is" {
	local file
	files | grep -v '/LICENSE$\|\.md$\|/\.gitignore$' | while read -r file; do
		head -n 5 "$file" | grep -q 'SPDX-License-Identifier: ' || echo "$file"
	done >"$BATS_TEST_TMPDIR/without"
	none cat "$BATS_TEST_TMPDIR/without"
}

# targets: those of the Makefile that are for people
targets() {
	sed -n ':a; /\\$/{N; s/\\\n//; ba}; s/^\.PHONY: *//p' Makefile | tr -s ' \t' '\n' |
		grep -vxE 'all|force|in_front|units|fuzzers|deps-.*' | sort -u
}

@test "make help lists the targets, and no others" {
	diff <(targets) <(make help | sed -n 's/^make \([a-z-]\{1,\}\).*/\1/p' | sort)
}

# each COMMAND: it must succeed with each line of the input, and there must be some
each() {
	local line count=0
	while read -r line; do
		"$1" "$line" || { echo "no such thing: $line" >&2 && return 1; }
		((++count))
	done
	((count))
}

is_target() {
	targets | grep -qx -e "$1"
}

is_subcommand() {
	[[ $1 == help ]] || build/wg-dynamic "$1" help >/dev/null
}

exists() {
	[[ -e $1 ]]
}

@test "the commands and paths of README exist" {
	grep -v apt-get README.md | grep -oP '\bmake \K[a-z-]+' | each is_target
	grep -oP '(^    .*|\x60)\bwg[- ]dynamic \K[a-z]+' README.md | each is_subcommand
	sed -n '/^## What is where/,/^## L/s/^    \([^ ].*\)   .*/\1/p' README.md | xargs -n 1 | each exists
	grep -oP '\x60\Ktests/[^ \x60]+' README.md | each exists
}

@test "every top-level folder is in README" {
	local folder
	for folder in */; do
		[[ $folder == build/ ]] || grep -q "^    .*\b$folder" README.md || {
			echo "$folder" >&2
			return 1
		}
	done
}

@test "the man page has every word of the command's usage" {
	local word text
	text=$(mandoc -T ascii man/wg-dynamic.8 | col -b)
	for word in $(build/wg-dynamic help | grep '^  wg' | tr -cs 'a-z-' ' '); do
		[[ $text == *"$word"* ]] || {
			echo "$word" >&2
			return 1
		}
	done
}

@test "systemd finds nothing wrong with the units, and little that they could do wrong" {
	local unit bin=$BATS_TEST_TMPDIR
	ln -s "$PWD/build/wg-dynamic" "$bin/wg-dynamic"
	ln -s "$PWD/build/wg-dynamic" "$bin/wg-dynamic-server"
	ln -s "$PWD/build/wg-dynamic" "$bin/wg-dynamic-client"
	for unit in wg-dynamic-{server,client}@.service; do
		grep -q '^ExecStart=/usr/local/bin/' "build/systemd/$unit"
		sed "s,/usr/local/bin/,$bin/," "build/systemd/$unit" >"$bin/$unit"
		none systemd-analyze verify --man=no "$bin/$unit"
		systemd-analyze security --no-pager --offline=yes --threshold=21 "$bin/$unit"
	done
	mkdir "$bin/wg-quick@.service.d"
	sed "s,/usr/local/bin/,$bin/," "build/systemd/wg-quick@.service.d/wg-dynamic.conf" \
		>"$bin/wg-quick@.service.d/wg-dynamic.conf"
	printf '[Service]\nType=oneshot\nExecStart=/bin/true\n' >"$bin/wg-quick@.service"
	none systemd-analyze verify --man=no "$bin/wg-quick@.service"
}

@test "installs, runs from there, and uninstalls without a trace" {
	local name dest=$BATS_TEST_TMPDIR/dest bin=$BATS_TEST_TMPDIR/dest/usr/local/bin
	local args=(-j 2 BUILD="$BATS_TEST_TMPDIR/build" DESTDIR="$dest" CFLAGS=-O0 WERROR=-Werror)
	make "${args[@]}" install
	(cd "$dest" && find . ! -type d | sort) >"$BATS_TEST_TMPDIR/list"
	diff "$BATS_TEST_TMPDIR/list" - <<-'EOF_'
		./usr/local/bin/wg
		./usr/local/bin/wg-dynamic
		./usr/local/bin/wg-dynamic-client
		./usr/local/bin/wg-dynamic-server
		./usr/local/bin/wg-quick
		./usr/local/lib/systemd/system/wg-dynamic-client@.service
		./usr/local/lib/systemd/system/wg-dynamic-server@.service
		./usr/local/lib/systemd/system/wg-quick@.service.d/wg-dynamic.conf
		./usr/local/share/bash-completion/completions/wg
		./usr/local/share/bash-completion/completions/wg-dynamic
		./usr/local/share/bash-completion/completions/wg-dynamic-client
		./usr/local/share/bash-completion/completions/wg-dynamic-server
		./usr/local/share/man/man7/wg-dynamic.7
		./usr/local/share/man/man8/wg-dynamic-client.8
		./usr/local/share/man/man8/wg-dynamic-server.8
		./usr/local/share/man/man8/wg-dynamic.8
	EOF_
	run -0 "$bin/wg-dynamic" --version
	[[ $output =~ ^wg-dynamic\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
	run -0 "$bin/wg" dynamic help
	[[ $output == "Usage: wg dynamic "* ]]
	run -0 "$bin/wg" --version
	[[ $output == wireguard-tools* ]]
	run -1 "$bin/wg-dynamic-client"
	[[ $output == *"Usage: wg dynamic client <interface>"* ]]
	run -1 "$bin/wg-dynamic-server"
	[[ $output == *"Usage: wg dynamic server <interface>"* ]]
	run -1 "$bin/wg-dynamic-client" nosuch0
	[[ $output == "wg-dynamic: nosuch0: there is no such interface: "* ]]
	for name in client server; do
		(cd "$dest/usr/local/share/man" && mandoc "man8/wg-dynamic-$name.8") |
			diff - <(mandoc man/wg-dynamic.8)
	done
	make "${args[@]}" uninstall
	none find "$dest" ! -type d
	[[ ! -e $dest/usr/local/lib/systemd/system/wg-quick@.service.d ]]
	# Where wireguard-tools has its completion of wg, ours does not take its place.
	make -s -o all "${args[@]}" PREFIX=/usr WITH_WGQUICK=no install
	[[ -e $dest/usr/share/bash-completion/completions/wg-dynamic-server ]]
	[[ ! -e $dest/usr/share/bash-completion/completions/wg ]]
}

@test "installs without wg-quick, completion and units, and into other folders" {
	local dest=$BATS_TEST_TMPDIR/dest
	cp -r build "$BATS_TEST_TMPDIR/build"
	make -s -o all BUILD="$BATS_TEST_TMPDIR/build" DESTDIR="$dest" PREFIX=/opt MANDIR=/man \
		WITH_WGQUICK=no WITH_BASHCOMPLETION=no WITH_SYSTEMDUNITS=no install
	(cd "$dest" && find . ! -type d | sort) >"$BATS_TEST_TMPDIR/list"
	diff "$BATS_TEST_TMPDIR/list" - <<-'EOF_'
		./man/man7/wg-dynamic.7
		./man/man8/wg-dynamic-client.8
		./man/man8/wg-dynamic-server.8
		./man/man8/wg-dynamic.8
		./opt/bin/wg
		./opt/bin/wg-dynamic
		./opt/bin/wg-dynamic-client
		./opt/bin/wg-dynamic-server
	EOF_
}
