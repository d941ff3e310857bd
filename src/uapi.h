/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Kernel constants newer than the oldest liburing that we build with (2.3), each with the kernel
 * that brought it. They are part of the kernel's stable interface: the numbers do not change.
 */
#ifndef EVU_UAPI_H
#define EVU_UAPI_H

#include <liburing.h>

#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12) /* 6.0 */
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13) /* 6.1 */
#endif
/* These two are an enum or a macro depending on liburing's age, so they get names of our own. */
#define EVU_ENTER_NO_IOWAIT (1U << 7) /* 6.15: do not account an idle wait as io-wait */
#define EVU_FEAT_NO_IOWAIT (1U << 17) /* 6.15 */

#endif
