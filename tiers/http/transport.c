/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP call at a time on a context: options, callbacks, the wait, and what the outcome means.
 *
 * A call goes: take a context; set its options; perform and wait until libcurl is done, or until we
 * end it (deadline, cancellation, stall); if a reused connection gave no answer, once more on a
 * fresh one; put the context back. libcurl calls back on our own thread only, so struct call needs
 * no lock.
 */
#include "tiers/http/transport.h"

#include <assert.h>
#include <cogfs_version.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tiers/http/transport_pool.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

#define CONNECT_TIMEOUT_MS 10000L
/* How late a cancelled call may notice it. */
#define CANCEL_LOOK_MS 50
#define WAIT_MAX_MS 1000
/* Below this a body is sent at once: waiting for a 100 costs more than sending in vain. */
#define EXPECT_MIN (1024 * 1024)
#define SMALL_BUFFER (64 * 1024L)
#define LARGE_BUFFER (512 * 1024L)

struct transport {
	struct http_pool pool;
	const struct clock *clock;
	char *ca_file;
	char *proxy; /* as CURLOPT_PROXY takes it: NULL = environment, "" = none */
};

struct call {
	const struct transport *transport;
	const struct http_request *request;
	struct http_response *response;
	struct err *err;
	CURL *easy;
	uint64_t sent;	  /* of the request's body */
	int64_t moved_at; /* when a byte last moved, monotonic */
	int ended;	  /* why we ended the call: what it returns; 0 = we did not */
	bool cut;	  /* an error's body was long enough */
	bool head_told;
	char error_text[CURL_ERROR_SIZE];
};

void http_response_release(struct http_response *response)
{
	http_headers_release(&response->headers);
	buf_release(&response->body);
	*response = (struct http_response){0};
}

/* --- libcurl's callbacks --- */

static void call_moved(struct call *call)
{
	call->moved_at = clock_mono(call->transport->clock);
}

static bool status_is_ok(const struct http_response *response)
{
	return response->status >= 200 && response->status < 300;
}

/* A status line begins an answer, and takes back what an earlier one (100, a proxy's) said. */
static void status_line(struct call *call)
{
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	http_headers_reset(&call->response->headers);
	call->response->status = (int)status;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct call *call = arg;
	size_t len = size * n;

	call_moved(call);
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		status_line(call);
		return len;
	}
	call->ended = http_headers_add_line(&call->response->headers, line, len);
	if (call->ended == 0)
		return len;
	err_set(call->err, call->ended, "the answer's headers are too large or malformed");
	return 0;
}

static int tell_head(struct call *call)
{
	const struct http_request *request = call->request;

	if (call->head_told || !request->on_head || !status_is_ok(call->response))
		return 0;
	call->head_told = true;
	return request->on_head(request->arg, call->response);
}

/* Returns true where the whole call is to end: call->ended or call->cut says why. */
static bool keep_body(struct call *call, const char *data, size_t len)
{
	struct buf *body = &call->response->body;
	size_t max = status_is_ok(call->response) ? call->request->body_max : HTTP_ERROR_BODY_MAX;

	if (len > max - body->len) {
		if (status_is_ok(call->response)) {
			call->ended = err_set(call->err, -EIO,
					      "the answer is larger than %zu bytes", max);
			return true;
		}
		call->cut = true;
		len = max - body->len;
	}
	buf_add(body, data, len);
	if (body->failed)
		call->ended = -ENOMEM;
	return call->cut || call->ended;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct call *call = arg;
	size_t len = size * n;
	bool end;

	call_moved(call);
	call->ended = tell_head(call);
	if (call->ended)
		return 0;
	if (call->request->on_body && status_is_ok(call->response)) {
		call->ended = call->request->on_body(call->request->arg, data, len);
		end = call->ended;
	} else {
		end = keep_body(call, data, len);
	}
	/* Whatever differs from len, and 0 may not, is an error to libcurl. */
	return end ? (len ? 0 : 1) : len;
}

static size_t on_read(char *out, size_t size, size_t n, void *arg)
{
	struct call *call = arg;
	const struct http_request *request = call->request;
	uint64_t left = request->len - call->sent;
	size_t want = size * n;
	ssize_t got;

	call_moved(call);
	if (want > left)
		want = (size_t)left;
	if (request->body == HTTP_BODY_MEM) {
		memcpy(out, (const char *)request->mem + call->sent, want);
		got = (ssize_t)want;
	} else {
		got = fs_pread_full(request->fd, out, want, (off_t)(request->off + call->sent));
	}
	if (got < 0 || (size_t)got < want) {
		call->ended = err_set(call->err, got < 0 ? (int)got : -EIO,
				      got < 0 ? "reading the body" : "the body became shorter");
		call->response->transient = got >= 0;
		return CURL_READFUNC_ABORT;
	}
	call->sent += want;
	return want;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct call *call = arg;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > call->request->len)
		return CURL_SEEKFUNC_CANTSEEK;
	call->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

/* --- options --- */

static CURLcode set_protocol(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	return curl_easy_setopt(easy, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
}

/*
 * Without it, ending a call during a slow name look-up waits for the look-up's thread, and the
 * deadline with it.
 */
static void set_quick_exit(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075700
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
}

static CURLcode set_connection(const struct transport *t, CURL *easy)
{
	CURLcode rc = set_protocol(easy);

	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	set_quick_exit(easy);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(easy, CURLOPT_USERAGENT, "cogfs/" COGFS_VERSION);
	if (rc == CURLE_OK && t->ca_file)
		rc = curl_easy_setopt(easy, CURLOPT_CAINFO, t->ca_file);
	if (rc == CURLE_OK && t->proxy)
		rc = curl_easy_setopt(easy, CURLOPT_PROXY, t->proxy);
	return rc;
}

static void set_callbacks(struct call *call)
{
	CURL *easy = call->easy;

	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error_text);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(easy, CURLOPT_READDATA, call);
	curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(easy, CURLOPT_SEEKDATA, call);
}

static CURLcode set_request(CURL *easy, const struct http_request *request)
{
	bool large = request->expected > (uint64_t)SMALL_BUFFER;

	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, large ? LARGE_BUFFER : SMALL_BUFFER);
	if (request->body != HTTP_BODY_NONE) {
		curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->len);
		curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE,
				 request->len > (uint64_t)SMALL_BUFFER ? LARGE_BUFFER
								       : SMALL_BUFFER);
	} else if (strcmp(request->method, "HEAD") == 0) {
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	}
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
	return curl_easy_setopt(easy, CURLOPT_URL, request->url);
}

static int make_headers(const struct http_request *request, struct curl_slist **ret)
{
	bool large = request->body != HTTP_BODY_NONE && request->len >= EXPECT_MIN;
	struct curl_slist *list = NULL, *grown;

	list = curl_slist_append(NULL, large ? "Expect: 100-continue" : "Expect:");
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; request->headers && request->headers[i]; i++) {
		grown = curl_slist_append(list, request->headers[i]);
		if (!grown) {
			curl_slist_free_all(list);
			return -ENOMEM;
		}
		list = grown;
	}
	*ret = list;
	return 0;
}

/* --- one call --- */

/* Why the call has to end now: -ECANCELED, -ETIMEDOUT, or 0. */
static int call_look(struct call *call)
{
	const struct http_request *request = call->request;
	int64_t now;

	for (size_t i = 0; i < sizeof(request->cancel) / sizeof(request->cancel[0]); i++) {
		if (request->cancel[i] &&
		    atomic_load_explicit(request->cancel[i], memory_order_relaxed))
			return err_set(call->err, -ECANCELED, "cancelled");
	}
	now = clock_mono(call->transport->clock);
	call->response->transient = true;
	if (request->deadline && now >= request->deadline)
		return err_set(call->err, -ETIMEDOUT, "no answer by the deadline");
	if (request->stall_ns && now - call->moved_at >= request->stall_ns)
		return err_set(call->err, -ETIMEDOUT, "nothing came for %lld s",
			       (long long)(request->stall_ns / NSEC_PER_SEC));
	call->response->transient = false;
	return 0;
}

static int wait_ms(const struct call *call)
{
	const struct http_request *request = call->request;
	int64_t left = clock_left(call->transport->clock, request->deadline) / NSEC_PER_MSEC + 1;
	int64_t most = request->cancel[0] || request->cancel[1] ? CANCEL_LOOK_MS : WAIT_MAX_MS;

	return (int)(left < most ? left : most);
}

/* Runs until libcurl is done or we end it. *ret_code is meaningful where call->ended is 0. */
static void call_drive(struct call *call, CURLM *multi, CURLcode *ret_code)
{
	int running = 0, queued;
	CURLMsg *message;

	*ret_code = CURLE_FAILED_INIT;
	if (curl_multi_add_handle(multi, call->easy) != CURLM_OK) {
		call->ended = -ENOMEM;
		return;
	}
	for (;;) {
		if (curl_multi_perform(multi, &running) != CURLM_OK || !running)
			break;
		call->ended = call_look(call);
		if (call->ended)
			break;
		if (curl_multi_poll(multi, NULL, 0, wait_ms(call), NULL) != CURLM_OK)
			break;
	}
	while ((message = curl_multi_info_read(multi, &queued))) {
		if (message->msg == CURLMSG_DONE)
			*ret_code = message->data.result;
	}
	curl_multi_remove_handle(multi, call->easy);
}

/* The server closed an idle connection just when we used it: nobody has seen the request. */
static bool is_stale_connection(struct call *call, CURLcode code)
{
	long fresh = 1;

	if (call->ended || call->response->status)
		return false;
	if (code != CURLE_GOT_NOTHING && code != CURLE_SEND_ERROR && code != CURLE_RECV_ERROR)
		return false;
	curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &fresh);
	return fresh == 0;
}

/* What a failure of libcurl's means to a caller. */
static int code_to_errno(CURLcode code, bool *ret_transient)
{
	switch (code) {
	case CURLE_OUT_OF_MEMORY:
		*ret_transient = false;
		return -ENOMEM;
	case CURLE_OPERATION_TIMEDOUT: /* connecting took too long */
		*ret_transient = true;
		return -ETIMEDOUT;
	case CURLE_URL_MALFORMAT:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_ENGINE_NOTFOUND:
		*ret_transient = false;
		return -EIO;
	default:
		*ret_transient = true;
		return -EIO;
	}
}

static int call_result(struct call *call, CURLcode code)
{
	int rc;

	if (call->ended)
		return call->ended;
	if (call->cut)
		return 0;
	if (code == CURLE_OK)
		return tell_head(call);
	rc = code_to_errno(code, &call->response->transient);
	return err_set(call->err, rc, "%s",
		       call->error_text[0] ? call->error_text : curl_easy_strerror(code));
}

/* Options are set anew for each try: curl_easy_reset keeps connections and nothing else. */
static int call_once(struct call *call, struct http_context *context, struct curl_slist *headers,
		     bool fresh, CURLcode *ret_code)
{
	CURLcode code;

	call->sent = 0;
	call->moved_at = clock_mono(call->transport->clock);
	curl_easy_reset(call->easy);
	code = set_connection(call->transport, call->easy);
	if (code == CURLE_OK)
		code = set_request(call->easy, call->request);
	if (code == CURLE_OK)
		code = curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, headers);
	if (code != CURLE_OK)
		return -ENOMEM;
	set_callbacks(call);
	curl_easy_setopt(call->easy, CURLOPT_FRESH_CONNECT, fresh ? 1L : 0L);
	call_drive(call, context->multi, ret_code);
	return 0;
}

int transport_perform(struct transport *t, const struct http_request *request,
		      struct http_response *response, struct err *err)
{
	struct call call = {.transport = t, .request = request, .response = response, .err = err};
	struct http_context *context;
	struct curl_slist *headers;
	CURLcode code = CURLE_OK;
	int rc;

	assert(request->body != HTTP_BODY_NONE || request->len == 0);
	http_response_release(response);
	rc = make_headers(request, &headers);
	if (rc < 0)
		return rc;
	context = http_pool_take(&t->pool);
	if (!context) {
		curl_slist_free_all(headers);
		return -ENOMEM;
	}
	call.easy = context->easy;
	rc = call_once(&call, context, headers, false, &code);
	if (rc == 0 && is_stale_connection(&call, code))
		rc = call_once(&call, context, headers, true, &code);
	if (rc == 0)
		rc = call_result(&call, code);
	/* The list and the call are ours: the handle must not keep pointers to them. */
	curl_easy_reset(context->easy);
	http_pool_put(&t->pool, context);
	curl_slist_free_all(headers);
	return rc;
}

/* --- the transport itself --- */

static int transport_configure(struct transport *t, const struct transport_conf *conf,
			       struct err *err)
{
	if (conf->ca_file && *conf->ca_file) {
		if (access(conf->ca_file, R_OK) < 0)
			return err_set(err, -EINVAL, "ca_file %s: %s", conf->ca_file,
				       strerror(errno));
		t->ca_file = strdup(conf->ca_file);
		if (!t->ca_file)
			return -ENOMEM;
	}
	if (conf->proxy && strcmp(conf->proxy, "env") != 0) {
		t->proxy = strdup(strcmp(conf->proxy, "none") == 0 ? "" : conf->proxy);
		if (!t->proxy)
			return -ENOMEM;
	}
	return 0;
}

int transport_new(const struct transport_conf *conf, struct transport **ret, struct err *err)
{
	struct transport *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return -ENOMEM;
	t->clock = conf->clock;
	http_pool_init(&t->pool, conf->clock);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(t);
		return -ENOMEM;
	}
	rc = transport_configure(t, conf, err);
	if (rc < 0) {
		transport_free(t);
		return rc;
	}
	*ret = t;
	return 0;
}

void transport_free(struct transport *t)
{
	if (!t)
		return;
	http_pool_release(&t->pool);
	free(t->ca_file);
	free(t->proxy);
	free(t);
	curl_global_cleanup();
}
