/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocking HTTP calls for worker threads, on libcurl.
 *
 * Each call takes a context (an easy handle inside a multi handle of its own, which has its own
 * connection cache) from a last-in-first-out pool, so that the connection used last, the one that
 * is most likely alive, is used next, and connections beyond the present need fall idle and are
 * closed. The multi interface is there for its wait: a call ends when its deadline comes, when it
 * is cancelled, or when nothing moves any more, whatever libcurl is doing.
 *
 * Rules that hold for every store (they were measured): the path is sent as it stands, dot segments
 * included; a body always has a length; `Expect` is sent for large bodies only; a call that got no
 * answer on a reused connection is sent once more on a fresh one; redirects are answers, not
 * followed; only http and https are spoken; certificates are verified.
 *
 * Concurrency: one transport, any number of threads. The process ignores SIGPIPE.
 */
#ifndef TIERS_HTTP_TRANSPORT_H
#define TIERS_HTTP_TRANSPORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/http/buf.h"
#include "tiers/http/fields.h"
#include "util/clock.h"
#include "util/err.h"

#define HTTP_ERROR_BODY_MAX (64 * 1024)

struct transport;

struct transport_conf {
	const struct clock *clock;
	const char *ca_file; /* NULL: the system's */
	const char *proxy;   /* NULL or "env": the usual variables; "none"; or a URL */
};

/* 0, -EINVAL (a ca_file that cannot be read) or -ENOMEM. */
int transport_new(const struct transport_conf *conf, struct transport **ret, struct err *err);
void transport_free(struct transport *t); /* accepts NULL; no call may be running */

enum http_body { HTTP_BODY_NONE, HTTP_BODY_MEM, HTTP_BODY_FD };

struct http_response;

struct http_request {
	const char *method;
	const char *url;	    /* encoded */
	const char *const *headers; /* "Name: value" each, NULL-terminated; NULL = none */

	enum http_body body;
	const void *mem; /* HTTP_BODY_MEM */
	int fd;		 /* HTTP_BODY_FD: bytes [off, off + len), with pread */
	uint64_t off;
	uint64_t len;

	/*
	 * Where a 2xx answer's body goes. NULL: into response->body, up to body_max bytes (more is
	 * -EIO). All other answers' bodies go there up to HTTP_ERROR_BODY_MAX, and are cut off
	 * above. A non-zero return ends the call with that value.
	 */
	int (*on_body)(void *arg, const void *data, size_t len);
	/* Once, for a 2xx answer, before on_body: status and headers are known. May be NULL. */
	int (*on_head)(void *arg, const struct http_response *response);
	void *arg;
	size_t body_max;
	uint64_t expected; /* bytes of the answer, roughly: sizes buffers; 0 = small */

	dl_t deadline;		      /* monotonic; 0 = none */
	int64_t stall_ns;	      /* end where no byte moves for so long; 0 = never */
	const atomic_bool *cancel[2]; /* any of them true ends the call; NULL = none */
};

/* Zero-initialise. */
struct http_response {
	int status; /* 0 = there was none */
	struct http_headers headers;
	struct buf body;
	bool transient; /* a failed call may work if sent again; says nothing about a status */
};

void http_response_release(struct http_response *response); /* leaves an empty one */

#define CLEANUP_RESPONSE __attribute__((cleanup(http_response_release)))

/*
 * 0 whatever the status is. -ETIMEDOUT at the deadline or on a stall, -ECANCELED, -EIO (no
 * connection, no proper answer, TLS), -ENOMEM, or what a callback returned. What a failed call has
 * of the answer (a status, part of a body) stays in response.
 */
int transport_perform(struct transport *t, const struct http_request *request,
		      struct http_response *response, struct err *err);

#endif
