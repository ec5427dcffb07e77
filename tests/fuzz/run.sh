#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs fuzz targets that have been built in BUILD, two at a time: each replays its corpus, then looks
# for new inputs for so many SECONDS. One line in TAP for each. New inputs are left in
# BUILD/new/TARGET, and what breaks a target in BUILD/broken/TARGET-*, where all that it said is in
# TARGET.log.

(($# >= 2)) || { echo "usage: ${0##*/} BUILD SECONDS [TARGET]..." >&2 && exit 1; }
build=$1 seconds=$2
shift 2
corpus=$(dirname "$0")/corpus
targets=("$@")
if ((!$#)); then
	for file in "${0%/*}"/*.c; do
		name=$(basename "$file" .c)
		[[ $name == fuzz ]] || targets+=("$name")
	done
	targets+=(server) # in tests/sim
fi
for target in "${targets[@]}"; do
	[[ -x $build/$target && -d $corpus/$target ]] || {
		echo "${0##*/}: there is no target \`$target': those are $(cd "$corpus" && echo *)" >&2
		exit 1
	}
done
mkdir -p "$build/broken" || exit 1

# one TARGET: what it found, in words; false if it broke
one() {
	local new=$build/new/$1 log=$build/broken/$1.log status
	mkdir -p "$new"
	# A machine with much to do is no reason to say that an input takes too long.
	nice -n 10 "$build/$1" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=1024 \
		-print_final_stats=1 -artifact_prefix="$build/broken/$1-" \
		"$new" "$corpus/$1" >"$log" 2>&1
	status=$?
	echo "$1: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") executions," \
		"$(find "$new" -type f | wc -l) new inputs, $((status != 0)) found"
	((!status)) && rm -f "$log"
}

# tap TARGET: its line in TAP, without a number, as two run at once; and why it broke
tap() {
	local line
	if line=$(one "$1"); then
		echo "ok - $line"
	else
		echo "not ok - $line"
		grep -m 8 -E 'does not hold|ERROR|runtime error|SUMMARY|written to|    #[0-4] ' \
			"$build/broken/$1.log" | sed 's/^/# /'
	fi
}

echo "1..${#targets[@]}"
for ((i = 0; i < ${#targets[@]}; ++i)); do
	((i < 2)) || wait -n
	tap "${targets[i]}" &
done
wait
