#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Every file of the tree has to stand in Makefile.am: a test that is not listed is never run, and a header that is not
# listed is missing from a release.
set -eu
cd "$EVU_SRCDIR"

# is_listed NAME: as a word of its own.
is_listed()
{
	grep -qE "(^|[[:space:]])${1//./\\.}([[:space:]]|$)" Makefile.am
}

failed=0
for file in src/*.[ch] compat/*.[ch] tests/*.[ch] tests/*.sh tests/real/* tests/bench/* examples/* doc/* doc/bench/* tools/*; do
	case $file in
	*.o | *.lo | doc/bench | 'doc/bench/*') continue ;;
	esac
	if ! is_listed "$file" && ! is_listed "${file%.c}"; then
		echo "not in Makefile.am: $file"
		failed=1
	fi
done
exit $failed
