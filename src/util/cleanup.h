/* SPDX-License-Identifier: Apache-2.0 */
/* Scope-bound release of memory, descriptors and locks. */
#ifndef UTIL_CLEANUP_H
#define UTIL_CLEANUP_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_freep(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void cleanup_unlockp(pthread_mutex_t **m)
{
	if (*m)
		pthread_mutex_unlock(*m);
}

#define CLEANUP_FREE __attribute__((cleanup(cleanup_freep)))
#define CLEANUP_CLOSE __attribute__((cleanup(cleanup_closep)))
#define CLEANUP_FCLOSE __attribute__((cleanup(cleanup_fclosep)))

/* Holds *m until the end of the enclosing brace block, whichever way it is left. */
#define SCOPE_LOCK_NAME2(line) scope_lock_##line
#define SCOPE_LOCK_NAME(line) SCOPE_LOCK_NAME2(line)
#define SCOPE_LOCK(m)                                                                              \
	__attribute__((cleanup(cleanup_unlockp), unused)) pthread_mutex_t *SCOPE_LOCK_NAME(        \
		__LINE__) = (pthread_mutex_lock(m), (m))

/* Takes the value out of a CLEANUP_* variable, so that leaving the scope releases nothing. */
#define STEAL_PTR(p)                                                                               \
	({                                                                                         \
		__typeof__(p) stolen_ = (p);                                                       \
		(p) = NULL;                                                                        \
		stolen_;                                                                           \
	})

static inline int steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

#endif
