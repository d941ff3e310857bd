#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Make the report of a run: report.sh OUTPUT_DIR QUICK ROUNDS [LIBRARY_VERSION]
#
# Reads spec.tsv, relations.tsv, results.tsv and notes of that directory; writes results.json, report.md and the plots
# there, and tables to standard output. Its status is that of report.awk.
set -eu
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
out=$1
quick=$2
rounds=$3
input=("$out/spec.tsv" "$out/relations.tsv" "$out/results.tsv")
cpu=$(sed -n 's/^model name[^:]*: //p;T;q' /proc/cpuinfo)
date=$(date -u +%Y-%m-%dT%H:%M:%SZ)

facts() {
	printf 'date\t%s\n' "$date"
	printf 'machine\t%s, %s CPUs%s, %s GiB of memory\n' "$cpu" "$(nproc)" \
		"$(! grep -q '^flags.*hypervisor' /proc/cpuinfo || printf ' of a virtual machine')" \
		"$(awk '/^MemTotal:/ {printf "%.1f", $2 / 1048576}' /proc/meminfo)"
	printf 'kernel\t%s\n' "$(uname -sr)"
	printf 'libevent_uring\t%s\n' "${4:-unknown}"
	printf 'stock\tlibevent %s\n' "$(pkg-config --modversion libevent)"
	printf 'liburing\t%s\n' "$(pkg-config --modversion liburing)"
}

# The sweeps that were run.
plot() {
	local row name
	rm -f "$out/connections.svg" "$out/size.svg" "$out/depth.svg"
	plots=
	for row in conns size depth; do
		[ -s "$out/$row.dat" ] || continue
		name=${row/conns/connections}
		if ! command -v gnuplot >/dev/null; then
			echo "no plots: gnuplot is not installed (Debian: gnuplot-nox)" | tee -a "$out/notes"
			break
		fi
		gnuplot -e "row='$row'; data='$out/$row.dat'; output_file='$out/$name.svg'" "$here/plots.gp"
		plots+="$name.svg "
	done
}

rm -f "$out"/{conns,size,depth}.dat
status=0
awk -v json="$out/results.json" -v plots="$out" -v quick="$quick" -v rounds="$rounds" -v notes="$out/notes" \
	-v kernel="$(uname -r)" -v cpu="$cpu" -v date="$date" -f "$here/stats.awk" -f "$here/report.awk" \
	"${input[@]}" || status=$?
[ $status -eq 0 ] || [ $status -eq 3 ] || exit $status
plot
facts "$@" >"$out/facts"
awk -v quick="$quick" -v rounds="$rounds" -v notes="$out/notes" -v facts="$out/facts" -v plots="${plots% }" \
	-f "$here/stats.awk" -f "$here/markdown.awk" "${input[@]}" >"$out/report.md"
exit $status
