#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Runs one test for the Makefile: run_test.sh [interpreter] test
#
# The test's name says how: check_* and scripts as they are, diff_* on stock and on ours with the transcripts compared,
# stress_* on ours. From the Makefile come EVU_BUILDDIR, EVU_SRCDIR, and EVU_SANITIZED=yes in a build with a sanitizer.
# EVU_TEST_TIMEOUT is the number of seconds after which a test is taken for hung and ended, with what it has started.
set -eu

test=${!#}
limit_seconds=${EVU_TEST_TIMEOUT:-600}
run=(timeout --kill-after=10 "$limit_seconds")

# A sanitizer's shadow memory may collide with mappings at random addresses (gcc 12 on kernels that draw them from 32
# bits): turn randomness off where that is allowed.
if [ "${EVU_SANITIZED-}" = yes ]; then
	if setarch "$(uname -m)" -R true 2>/dev/null; then
		run+=(setarch "$(uname -m)" -R)
	fi
	export CK_TIMEOUT_MULTIPLIER="${CK_TIMEOUT_MULTIPLIER:-8}"
	# Some tests ask for more memory than there is, to be refused.
	export ASAN_OPTIONS="allocator_may_return_null=1 ${ASAN_OPTIONS-}"
	export TSAN_OPTIONS="allocator_may_return_null=1 halt_on_error=1 second_deadlock_stack=1 die_after_fork=0 ${TSAN_OPTIONS-}"
fi

case $(basename "$test") in
*.sh | check_*)
	exec "${run[@]}" "$@"
	;;
diff_*)
	exec "${run[@]}" bash "$EVU_SRCDIR/tests/run_diff.sh" "$test"
	;;
stress_*)
	exec "${run[@]}" bash "$EVU_SRCDIR/tests/run_diff.sh" --ours-only "$test"
	;;
*)
	echo "run_test.sh: cannot tell from its name how to run $test" >&2
	exit 99
	;;
esac
