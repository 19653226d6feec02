/* SPDX-License-Identifier: Apache-2.0 */
/* The control files over a real cache: what they say, what a request gets, and who may ask. */
#include "cache_fixture.h"

#include <jansson.h>

#include "control/control.h"

#define USER 1000 /* neither root nor the mount's owner */

struct side {
	struct host *host;
	struct control *control;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned int news;
};

static int setup(void **state)
{
	struct side *s = calloc(1, sizeof(*s));

	assert_int_equal(host_setup((void **)&s->host), 0);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->cond, NULL);
	assert_int_equal(control_new(s->host->cache, "/mnt/\"here\"", &s->control), 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct side *s = *state;

	control_free(s->control);
	host_teardown((void **)&s->host);
	free(s);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void wake(void *arg)
{
	struct side *s = arg;
	SCOPE_LOCK(&s->lock);

	s->news++;
	pthread_cond_signal(&s->cond);
}

/* Everything up to the end of the answer; malloc'ed. */
static char *read_to_end(struct side *s, struct control_reply *reply)
{
	char *text = calloc(1, 1 << 20);
	size_t len = 0;
	ssize_t n;

	for (;;) {
		unsigned int seen;

		pthread_mutex_lock(&s->lock);
		seen = s->news;
		pthread_mutex_unlock(&s->lock);
		n = control_reply_read(reply, text + len, (1 << 20) - 1 - len);
		if (n == 0)
			return text;
		if (n > 0) {
			len += (size_t)n;
			continue;
		}
		assert_int_equal(n, -EAGAIN);
		pthread_mutex_lock(&s->lock);
		while (s->news == seen)
			pthread_cond_wait(&s->cond, &s->lock);
		pthread_mutex_unlock(&s->lock);
	}
}

static struct control_reply *send_request(struct side *s, const char *json, uid_t uid)
{
	struct control_reply *reply = control_reply_new(wake, s);

	assert_int_equal(control_ops.request(s->control, json, uid, uid, 1, reply), 0);
	return reply;
}

/* The last line of the answer. */
static json_t *ask(struct side *s, const char *request, uid_t uid)
{
	struct control_reply *reply = send_request(s, request, uid);
	CLEANUP_FREE char *text = read_to_end(s, reply);
	size_t len = strlen(text);
	char *last;
	json_t *json;

	control_reply_close(reply, false);
	assert_true(len > 0 && text[len - 1] == '\n');
	text[len - 1] = '\0';
	last = strrchr(text, '\n');
	json = json_loads(last ? last + 1 : text, 0, NULL);
	assert_non_null(json);
	return json;
}

static int64_t number(json_t *json, const char *name)
{
	json_t *value = json_object_get(json, name);

	assert_true(json_is_integer(value));
	return json_integer_value(value);
}

static void assert_refused(struct side *s, const char *request, uid_t uid, int code)
{
	json_t *json = ask(s, request, uid);

	assert_true(json_is_string(json_object_get(json, "error")));
	assert_int_equal(number(json, "errno"), code);
	json_decref(json);
}

static char *file(struct side *s, const char *name, uid_t uid)
{
	char *text;
	size_t len;

	assert_int_equal(control_ops.render(s->control, name, uid, &text, &len), 0);
	assert_int_equal(strlen(text), len);
	return text;
}

/* --- files --- */

static void every_name_is_rendered(void **state)
{
	struct side *s = *state;

	for (const char *const *name = control_ops.names; *name; name++)
		free(file(s, *name, 0));
}

static void an_unknown_name_is_absent(void **state)
{
	struct side *s = *state;
	char *text;
	size_t len;

	assert_int_equal(control_ops.render(s->control, "passwd", 0, &text, &len), -ENOENT);
}

static void stats_have_the_two_keys_of_the_seeds(void **state)
{
	struct side *s = *state;
	CLEANUP_FREE char *text = file(s, "stats.json", USER);
	json_t *json = json_loads(text, 0, NULL), *manager = json_object_get(json, "manager");

	assert_non_null(json_object_get(json_object_get(json, "backends"), "warm"));
	assert_int_equal(json_object_size(json_object_get(json, "tenants")), 0);
	assert_string_equal(json_string_value(json_object_get(manager, "mountpoint")),
			    "/mnt/\"here\"");
	json_decref(json);
}

static void stats_count_what_was_done(void **state)
{
	struct side *s = *state;
	json_t *json, *manager, *warm;
	char buf[8];

	host_put(s->host, "f", "hello", 5);
	assert_int_equal(host_get(s->host, "f", buf, sizeof(buf)), 5);
	assert_int_equal(host_get(s->host, "none", buf, sizeof(buf)), -ENOENT);
	json = ask(s, "{\"verb\": \"stats\"}", USER);
	manager = json_object_get(json, "manager");
	warm = json_object_get(json_object_get(json, "backends"), "warm");
	assert_int_equal(number(manager, "sets"), 1);
	assert_int_equal(number(manager, "hits"), 1);
	assert_int_equal(number(warm, "hits"), 1);
	assert_int_equal(number(warm, "total_files"), 1);
	assert_int_equal(number(manager, "total_requests"),
			 number(manager, "hits") + number(manager, "misses"));
	json_decref(json);
}

static void metrics_escape_their_labels(void **state)
{
	struct side *s = *state;
	CLEANUP_FREE char *text = file(s, "metrics", USER);

	assert_non_null(strstr(text, "mountpoint=\"/mnt/\\\"here\\\"\"} 1\n"));
	assert_non_null(strstr(text, "# TYPE cogfs_oldest_dirty_seconds gauge\n"));
	assert_non_null(strstr(text, "\ncogfs_hits_disk_total 0\n"));
	assert_non_null(strstr(text, "\ncogfs_tier_up{tier=\"cold\",type=\"dir\"} 1\n"));
}

static void errors_are_not_for_everybody(void **state)
{
	struct side *s = *state;
	char *text;
	size_t len;

	assert_int_equal(control_ops.render(s->control, "errors", USER, &text, &len), -EACCES);
	assert_refused(s, "{\"verb\": \"errors\"}", USER, EACCES);
}

/* --- requests --- */

static void a_flush_ends_when_the_store_has_it(void **state)
{
	struct side *s = *state;
	json_t *json;

	host_put(s->host, "f", "hello", 5);
	json = ask(s, "{\"verb\": \"flush\"}", 0);
	assert_true(json_is_true(json_object_get(json, "done")));
	assert_int_equal(number(json, "left"), 0);
	assert_int_equal(number(json, "held"), 0);
	assert_true(host_stored(s->host, "f"));
	json_decref(json);
}

static void a_flush_tells_of_files_that_are_still_written(void **state)
{
	struct side *s = *state;
	struct cfile *f = host_create(s->host, "f", NULL);
	struct twait t;
	json_t *json;

	host_write(s->host, f, "x", 1, 0);
	assert_int_equal(CALL(&t, cache_flush(s->host->cache, f, 0, &t.w)), 0);
	json = ask(s, "{\"verb\": \"flush\", \"timeout_ms\": 5000}", 0);
	assert_int_equal(number(json, "held"), 1);
	json_decref(json);
	host_done(s->host, f);
}

static void users_flush_what_they_own(void **state)
{
	struct side *s = *state;
	json_t *json;

	host_put(s->host, "f", "hello", 5); /* of uid 7 */
	assert_refused(s, "{\"verb\": \"flush\", \"path\": \"f\"}", USER, EACCES);
	assert_refused(s, "{\"verb\": \"flush\", \"path\": \"none\"}", USER, EACCES);
	assert_refused(s, "{\"verb\": \"flush\"}", USER, EACCES);
	json = ask(s, "{\"verb\": \"flush\", \"path\": \"f\"}", 7);
	assert_true(json_is_true(json_object_get(json, "done")));
	assert_true(host_stored(s->host, "f"));
	json_decref(json);
}

static void hostile_requests_are_refused(void **state)
{
	struct side *s = *state;

	assert_refused(s, "", 0, EINVAL);
	assert_refused(s, "{", 0, EINVAL);
	assert_refused(s, "[]", 0, EINVAL);
	assert_refused(s, "{}", 0, EINVAL);
	assert_refused(s, "{\"verb\": 1}", 0, EINVAL);
	assert_refused(s, "{\"verb\": \"rm\"}", 0, EOPNOTSUPP);
	assert_refused(s, "{\"verb\": \"stats\", \"path\": \"a\"}", 0, EINVAL);
	assert_refused(s, "{\"verb\": \"stats\", \"verb\": \"stats\"}", 0, EINVAL);
	assert_refused(s, "{\"verb\": \"flush\", \"path\": \"../etc\"}", 0, EINVAL);
	assert_refused(s, "{\"verb\": \"flush\", \"path\": \"/etc\"}", 0, EINVAL);
	assert_refused(s, "{\"verb\": \"flush\", \"path\": \".cogfs/x\"}", 0, EINVAL);
	assert_refused(s, "{\"verb\": \"flush\", \"path\": 7}", 0, EINVAL);
	assert_refused(s, "{\"verb\": \"flush\", \"path\": \"a\\u0000b\"}", 0, EINVAL);
	assert_refused(s, "{\"verb\": \"flush\", \"timeout_ms\": -1}", 0, EINVAL);
	assert_refused(s, "{\"verb\": \"flush\", \"timeout_ms\": 1e9}", 0, EINVAL);
}

/* A change that the store cannot take: what lies in its place has a file in it. */
static void put_what_is_refused(struct side *s, bool refused)
{
	char dir[128], inside[160];
	struct cfile *f;

	snprintf(dir, sizeof(dir), "%s/f", s->host->store);
	snprintf(inside, sizeof(inside), "%s/in the way", dir);
	if (!refused) {
		assert_int_equal(unlink(inside), 0);
		assert_int_equal(rmdir(dir), 0);
		return;
	}
	f = host_create(s->host, "f", NULL);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(close(open(inside, O_CREAT | O_WRONLY, 0600)), 0);
	host_write(s->host, f, "x", 1, 0);
	host_done(s->host, f);
}

static void a_flush_gives_up_at_its_time(void **state)
{
	struct side *s = *state;

	put_what_is_refused(s, true);
	assert_refused(s, "{\"verb\": \"flush\", \"timeout_ms\": 400}", 0, ETIMEDOUT);
	put_what_is_refused(s, false);
	assert_int_equal(host_flush(s->host), 0);
}

static void a_flush_ends_when_its_reader_leaves(void **state)
{
	struct side *s = *state;

	put_what_is_refused(s, true);
	control_reply_close(send_request(s, "{\"verb\": \"flush\"}", 0), false);
	put_what_is_refused(s, false);
}

static void the_end_of_the_mount_ends_a_flush(void **state)
{
	struct side *s = *state;
	struct control_reply *reply;
	char *text;

	put_what_is_refused(s, true);
	reply = send_request(s, "{\"verb\": \"flush\"}", 0);
	control_free(STEAL_PTR(s->control));
	text = read_to_end(s, reply);
	assert_non_null(strstr(text, "\"errno\":125"));
	free(text);
	control_reply_close(reply, false);
	put_what_is_refused(s, false);
}

static void one_user_has_few_commands_under_way(void **state)
{
	struct control_reply *replies[4];
	struct side *s = *state;
	json_t *json;

	put_what_is_refused(s, true);
	for (size_t i = 0; i < 4; i++)
		replies[i] = send_request(s, "{\"verb\": \"flush\", \"path\": \"f\"}", 7);
	assert_refused(s, "{\"verb\": \"flush\", \"path\": \"f\"}", 7, EAGAIN);
	json = ask(s, "{\"verb\": \"flush\", \"path\": \"other\"}", 0);
	assert_true(json_is_true(json_object_get(json, "done")));
	json_decref(json);
	for (size_t i = 0; i < 4; i++)
		control_reply_close(replies[i], false);
	put_what_is_refused(s, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_name_is_rendered),
		TEST(an_unknown_name_is_absent),
		TEST(stats_have_the_two_keys_of_the_seeds),
		TEST(stats_count_what_was_done),
		TEST(metrics_escape_their_labels),
		TEST(errors_are_not_for_everybody),
		TEST(a_flush_ends_when_the_store_has_it),
		TEST(a_flush_tells_of_files_that_are_still_written),
		TEST(users_flush_what_they_own),
		TEST(hostile_requests_are_refused),
		TEST(a_flush_gives_up_at_its_time),
		TEST(a_flush_ends_when_its_reader_leaves),
		TEST(the_end_of_the_mount_ends_a_flush),
		TEST(one_user_has_few_commands_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
