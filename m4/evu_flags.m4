dnl SPDX-License-Identifier: BSD-3-Clause
dnl EVU_APPEND_CFLAG(FLAG, VARIABLE, [ACTION-IF-NOT-UNDERSTOOD])
dnl Appends FLAG to VARIABLE if the C compiler can compile and link with it. The link counts: a compiler may know
dnl -fsanitize=thread and still come without the run-time library for it.
AC_DEFUN([EVU_APPEND_CFLAG], [
	AS_VAR_PUSHDEF([evu_cache], [evu_cv_cflag_$1])
	AC_CACHE_CHECK([whether $CC understands $1], [evu_cache], [
		evu_saved_cflags=$CFLAGS
		CFLAGS="$CFLAGS -Werror $1"
		AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
			[AS_VAR_SET([evu_cache], [yes])],
			[AS_VAR_SET([evu_cache], [no])])
		CFLAGS=$evu_saved_cflags
	])
	AS_VAR_IF([evu_cache], [yes], [$2="$$2 $1"], [$3])
	AS_VAR_POPDEF([evu_cache])
])

dnl EVU_SWITCH(NAME, HELP)
dnl --enable-NAME, off unless asked for; the answer is in $enable_NAME as yes or no.
AC_DEFUN([EVU_SWITCH], [
	AC_ARG_ENABLE([$1], [AS_HELP_STRING([--enable-$1], [$2])],
		[AS_IF([test "x$enableval" != xno], [AS_TR_SH([enable_$1])=yes], [AS_TR_SH([enable_$1])=no])],
		[AS_TR_SH([enable_$1])=no])
])

dnl EVU_REQUIRE_CFLAG(SWITCH, FLAG)
dnl Appends FLAG to EVU_CFLAGS when --enable-SWITCH was given, and stops if the compiler cannot do it.
AC_DEFUN([EVU_REQUIRE_CFLAG], [
	AS_IF([test "x$AS_TR_SH([enable_$1])" = xyes], [
		EVU_APPEND_CFLAG([$2], [EVU_CFLAGS], [AC_MSG_ERROR([--enable-$1 needs a compiler with $2])])
	])
])
