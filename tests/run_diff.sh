#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# run_diff.sh [--ours-only] program [argument...]
#
# Runs a program that was linked against stock libevent twice, on stock and on ours, and compares what the two runs
# print and how they end. The environment is the same for both, so EVENT_NOEPOLL=1 holds for stock too.
# Exit status: 0 the same; 1 a difference, or a run that failed; 77 the program skipped itself in a run.
# --ours-only leaves out the run on stock: the program is its own judge.
# Needs EVU_BUILDDIR, the directory of the build; transcripts are left beside the program (*.stock.txt, *.ours.txt).
set -eu

both=yes
if [ "$1" = --ours-only ]; then
	both=no
	shift
fi
program=$1
dropin=$EVU_BUILDDIR/dropin

# What would make both runs use the same library, or a third one, must not get in from outside.
unset LD_LIBRARY_PATH LD_PRELOAD

# Without this look a broken dropin/ would have us compare stock with itself.
core=$(LD_LIBRARY_PATH=$dropin ldd "$program" | sed -n 's/^\t*libevent_core-2\.1\.so\.7 => \([^ ]*\) .*/\1/p')
if [ "$core" != "$dropin/libevent_core-2.1.so.7" ]; then
	echo "run_diff.sh: $program would not run on ours but on ${core:-no libevent_core at all}" >&2
	exit 99
fi

if [ $both = no ]; then
	LD_LIBRARY_PATH=$dropin exec "$@"
fi

stock_status=0
ours_status=0
"$@" >"$program.stock.txt" || stock_status=$?
LD_LIBRARY_PATH=$dropin "$@" >"$program.ours.txt" || ours_status=$?

if [ "$stock_status" = 77 ] || [ "$ours_status" = 77 ]; then
	echo "skipped itself (on stock: status $stock_status, on ours: $ours_status)"
	exit 77
fi
failed=0
diff -u --label stock "$program.stock.txt" --label ours "$program.ours.txt" || failed=1
if [ "$stock_status" != 0 ] || [ "$ours_status" != 0 ]; then
	echo "ended with status $stock_status on stock, $ours_status on ours"
	failed=1
fi
exit $failed
