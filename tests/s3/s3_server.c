/* SPDX-License-Identifier: Apache-2.0 */
/* Starts and ends test servers, and talks to the stub's control paths. */
#include "s3_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tiers/http/buf.h"
#include "util/cleanup.h"

#define START_TRIES 200 /* of 50 ms */

/* The child dies with us; we hold the other ends of its stdin and, where wanted, its stdout. */
static pid_t spawn(char *const argv[], int *ret_stdin, int *ret_stdout)
{
	int in[2], out[2];
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], STDIN_FILENO);
		dup2(ret_stdout ? out[1] : null, STDOUT_FILENO);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	*ret_stdin = in[1];
	if (ret_stdout)
		*ret_stdout = out[0];
	else
		close(out[0]);
	return pid;
}

static bool stub_start(struct s3_server *server, const char *pem)
{
	const char *stub = getenv("S3STUB");
	char *const argv[] = {
		"/usr/bin/python3",    (char *)stub,   "--bucket",
		S3_TEST_BUCKET,	       "--access-key", S3_TEST_ACCESS_KEY,
		pem ? "--cert" : NULL, (char *)pem,    NULL,
	};
	unsigned int port = 0;
	int out = -1;
	FILE *lines;

	*server = (struct s3_server){.hold = -1};
	if (!stub || access(argv[0], X_OK) < 0) {
		fprintf(stderr,
			"skipped: needs /usr/bin/python3, and S3STUB=tests/stub/s3stub.py\n");
		return false;
	}
	server->pid = spawn(argv, &server->hold, &out);
	assert(server->pid > 0);
	lines = fdopen(out, "r");
	assert(lines);
	if (fscanf(lines, "PORT %u", &port) != 1)
		fprintf(stderr, "the stub did not start\n");
	fclose(lines);
	assert(port);
	snprintf(server->endpoint, sizeof(server->endpoint), "%s://127.0.0.1:%u",
		 pem ? "https" : "http", port);
	return true;
}

bool s3_stub_start(struct s3_server *server)
{
	return stub_start(server, NULL);
}

bool s3_stub_start_tls(struct s3_server *server, const char *pem)
{
	return stub_start(server, pem);
}

static unsigned int free_port(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		return 0;
	return ntohs(addr.sin_port);
}

static bool listens(unsigned int port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons((uint16_t)port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;
}

bool s3_gateway_start(struct s3_server *server)
{
	const char *program = getenv("VERSITYGW");
	char port_text[32], path[128];
	char *const argv[] = {(char *)program, "--port", port_text, "--keep-alive",
			      "--quiet",       "posix",	 path,	    NULL};
	unsigned int port = free_port();
	int tries = 0;

	*server = (struct s3_server){.hold = -1};
	if (!program || access(program, X_OK) < 0) {
		fprintf(stderr,
			"skipped: VERSITYGW=/path/to/versitygw is not set (tools/deps.sh)\n");
		return false;
	}
	snprintf(server->dir, sizeof(server->dir), "/tmp/cogfs-vgw.XXXXXX");
	if (!mkdtemp(server->dir))
		return false;
	snprintf(path, sizeof(path), "%s/" S3_TEST_BUCKET, server->dir);
	assert(mkdir(path, 0700) == 0);
	snprintf(path, sizeof(path), "%s", server->dir);
	snprintf(port_text, sizeof(port_text), "127.0.0.1:%u", port);
	setenv("ROOT_ACCESS_KEY", S3_TEST_ACCESS_KEY, 1);
	setenv("ROOT_SECRET_KEY", S3_TEST_SECRET_KEY, 1);
	server->pid = spawn(argv, &server->hold, NULL);
	assert(server->pid > 0);
	for (; !listens(port); tries++) {
		assert(tries < START_TRIES);
		usleep(50 * 1000);
	}
	snprintf(server->endpoint, sizeof(server->endpoint), "http://127.0.0.1:%u", port);
	return true;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void s3_server_stop(struct s3_server *server)
{
	if (server->pid > 0) {
		kill(server->pid, SIGKILL);
		waitpid(server->pid, NULL, 0);
	}
	if (server->hold >= 0)
		close(server->hold);
	if (server->dir[0])
		nftw(server->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	*server = (struct s3_server){.hold = -1};
}

struct s3_conf s3_server_conf(const struct s3_server *server)
{
	return (struct s3_conf){
		.name = "cold",
		.bucket = S3_TEST_BUCKET,
		.prefix = "",
		.endpoint = server->endpoint,
		.region = "us-east-1",
		.credentials = "static",
		.access_key = S3_TEST_ACCESS_KEY,
		.secret_key = S3_TEST_SECRET_KEY,
		.part_size = 5 << 20,
		.proxy = "none",
	};
}

struct tier *s3_server_tier(const struct s3_conf *conf)
{
	const struct tier_env env = {.clock = &clock_system};
	struct tier *tier = NULL;
	struct err err = {0};
	int rc = s3_create(&env, conf, &tier, &err);

	if (rc < 0)
		fprintf(stderr, "s3_create: %s\n", err_text(&err, rc));
	assert(rc == 0);
	return tier;
}

/* --- the stub's control --- */

static size_t collect(char *data, size_t size, size_t n, void *arg)
{
	buf_add(arg, data, size * n);
	return size * n;
}

static void control(const struct s3_server *server, const char *method, const char *path,
		    const char *body, struct buf *ret)
{
	CURL *easy = curl_easy_init();
	char url[128];
	CURLcode code;

	snprintf(url, sizeof(url), "%s/_stub/%s", server->endpoint, path);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, ret);
	if (body)
		curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body);
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
	code = curl_easy_perform(easy);
	if (code != CURLE_OK)
		fprintf(stderr, "the stub's control: %s\n", curl_easy_strerror(code));
	assert(code == CURLE_OK);
	curl_easy_cleanup(easy);
}

void stub_plan(const struct s3_server *server, const char *json)
{
	CLEANUP_BUF struct buf answer = {0};

	control(server, "PUT", "plan", json, &answer);
	control(server, "DELETE", "log", NULL, &answer);
}

void stub_reset(const struct s3_server *server)
{
	CLEANUP_BUF struct buf answer = {0};

	control(server, "DELETE", "store", NULL, &answer);
}

void stub_age_uploads(const struct s3_server *server, unsigned int seconds)
{
	CLEANUP_BUF struct buf answer = {0};
	char text[16];

	snprintf(text, sizeof(text), "%u", seconds);
	control(server, "PUT", "age", text, &answer);
}

char *stub_log(const struct s3_server *server)
{
	struct buf answer = {0};

	control(server, "GET", "log", NULL, &answer);
	assert(buf_str(&answer));
	return answer.data;
}

unsigned int stub_log_count(const struct s3_server *server, const char *text)
{
	CLEANUP_FREE char *log = stub_log(server);
	unsigned int n = 0;

	for (const char *at = log; (at = strstr(at, text)); at += strlen(text))
		n++;
	return n;
}
