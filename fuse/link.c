/* SPDX-License-Identifier: Apache-2.0 */
/* Between supervisor and worker. Both are of one build, so that structs go as they are. */
#include "fuse/link.h"

#include <errno.h>
#include <sys/socket.h>

int link_pair(int ends[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) ? -errno : 0;
}

int link_send(int fd, const struct link_msg *msg)
{
	ssize_t n;

	do
		n = send(fd, msg, sizeof(*msg), MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int link_receive(int fd, struct link_msg *ret_msg)
{
	ssize_t n;

	do
		n = recv(fd, ret_msg, sizeof(*ret_msg), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	return n == sizeof(*ret_msg) ? 0 : -EPIPE;
}
