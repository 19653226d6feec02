/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What /proc tells about the process behind a request. A pid of 0 (another pid namespace) tells
 * nothing.
 */
#ifndef FUSE_PROC_H
#define FUSE_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Is it dying from a signal (kill -9, SIGTERM, out of memory), and not by exit()? */
bool proc_dies_of_signal(pid_t tid);
/* Do both threads belong to one process, as far as can be told? */
bool proc_same_process(pid_t tid, pid_t other);
/*
 * Has the process a descriptor of a file with this st_ino? One that it closes just now does not
 * count. True where nothing can be learnt, or where another file system has the number too.
 */
bool proc_holds(pid_t tid, uint64_t ino);
/*
 * Is a signal pending that ends the call: one that kills the process, or one that people end
 * programs with (SIGINT, SIGTERM, SIGHUP, SIGQUIT)? True where nothing can be learnt.
 */
bool proc_signal_ends_call(pid_t tid);

#endif
