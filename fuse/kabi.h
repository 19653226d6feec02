/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's FUSE protocol where libfuse hides it or is older than the kernel: the request
 * header that the read loop looks at, INIT, notifications that libfuse does not send, and backing
 * files.
 */
#ifndef FUSE_KABI_H
#define FUSE_KABI_H

#include <stdint.h>
#include <sys/ioctl.h>

#if __has_include(<fuse_kernel.h>)
#include <fuse_kernel.h>
#else
#include <linux/fuse.h>
#endif

/* Set in `unique` of a request that the kernel sends a second time. */
#define KABI_UNIQUE_RESEND (1ULL << 63)
/* INIT flag: the kernel knows FUSE_NOTIFY_RESEND (Linux 6.9). */
#define KABI_HAS_RESEND (1ULL << 39)
#define KABI_NOTIFY_RESEND 7

#define KABI_INIT_MAX 256 /* an INIT request has 104 bytes today */

struct kabi_backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define KABI_IOC_BACKING_OPEN _IOW(229, 1, struct kabi_backing_map)
#define KABI_IOC_BACKING_CLOSE _IOW(229, 2, uint32_t)

/* Does this libfuse answer opens with a backing file? */
#define KABI_PASSTHROUGH (FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17))

#endif
