/* SPDX-License-Identifier: Apache-2.0 */
/* The S3 store: creation, operations, close. */
#include "tiers/s3/s3.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"

#define DEFAULT_PART (16ULL << 20)
#define DEFAULT_PARALLEL 4
#define MAX_PARALLEL 64
#define PREFIX_MAX 512

static void s3_free(struct s3 *s3)
{
	pool_free(s3->pool);
	cred_provider_free(s3->creds);
	transport_free(s3->transport);
	s3_endpoint_release(&s3->endpoint);
	free(s3->bucket);
	free(s3->prefix);
	free(s3->storage_class);
	tier_release(&s3->base);
	free(s3);
}

/* Ends the sweep; parts are not running, as no call is. */
static void s3_close(struct tier *t)
{
	struct s3 *s3 = s3_of(t);

	atomic_store(&s3->closing, true);
	s3_free(s3);
}

static const struct tier_ops s3_ops = {
	.type = "s3",
	.probe = s3_probe,
	.head = s3_head,
	.get = s3_get,
	.put = s3_put,
	.del = s3_del,
	.del_many = s3_del_many,
	.list = s3_list,
	.copy = s3_copy,
	.set_meta = s3_set_meta,
	.share = tier_default_share,
	.close = s3_close,
};

/* Printable ASCII without blanks: what may stand in a header or a host name. */
static bool is_word(const char *s)
{
	for (; *s; s++) {
		if (!isgraph((unsigned char)*s))
			return false;
	}
	return true;
}

static int check_conf(const struct s3_conf *conf, struct err *err)
{
	if (!conf->bucket || !*conf->bucket || strchr(conf->bucket, '/') || !is_word(conf->bucket))
		return err_set(err, -EINVAL, "bucket: not a bucket's name");
	if (conf->prefix && strlen(conf->prefix) > PREFIX_MAX)
		return err_set(err, -EINVAL, "prefix: longer than %d bytes", PREFIX_MAX);
	if (conf->storage_class && !is_word(conf->storage_class))
		return err_set(err, -EINVAL, "storage_class: not a word");
	if (conf->path_style && conf->virtual_host)
		return err_set(err, -EINVAL, "path_style and virtual_host exclude each other");
	return 0;
}

/* "a/b/" of "/a/b", "" of "" and "/". */
static char *prefix_dup(const char *prefix)
{
	size_t len;
	char *copy;

	prefix = prefix ? prefix : "";
	while (*prefix == '/')
		prefix++;
	len = strlen(prefix);
	while (len && prefix[len - 1] == '/')
		len--;
	copy = malloc(len + 2);
	if (!copy)
		return NULL;
	memcpy(copy, prefix, len);
	if (len)
		copy[len++] = '/';
	copy[len] = '\0';
	return copy;
}

static int copy_conf(struct s3 *s3, const struct s3_conf *conf)
{
	unsigned int parallel = conf->part_parallel ? conf->part_parallel : DEFAULT_PARALLEL;

	s3->bucket = strdup(conf->bucket);
	s3->prefix = prefix_dup(conf->prefix);
	if (conf->storage_class && *conf->storage_class)
		s3->storage_class = strdup(conf->storage_class);
	s3->read_only = conf->read_only;
	s3->part_size = conf->part_size ? conf->part_size : DEFAULT_PART;
	if (s3->part_size < S3_MIN_PART)
		s3->part_size = S3_MIN_PART;
	if (s3->part_size > S3_MAX_SINGLE)
		s3->part_size = S3_MAX_SINGLE;
	s3->threshold = 2 * s3->part_size < S3_MAX_SINGLE ? 2 * s3->part_size : S3_MAX_SINGLE;
	s3->part_parallel = parallel < MAX_PARALLEL ? parallel : MAX_PARALLEL;
	if (!s3->bucket || !s3->prefix ||
	    (!s3->storage_class && conf->storage_class && *conf->storage_class))
		return -ENOMEM;
	return 0;
}

static int make_transport(struct s3 *s3, const struct tier_env *env, const struct s3_conf *conf,
			  struct err *err)
{
	const struct transport_conf tc = {
		.clock = env->clock,
		.ca_file = conf->ca_file && *conf->ca_file ? conf->ca_file
							   : getenv("AWS_CA_BUNDLE"),
		.proxy = conf->proxy && *conf->proxy ? conf->proxy : "env",
	};

	return transport_new(&tc, &s3->transport, err);
}

static int s3_build(struct s3 *s3, const struct tier_env *env, const struct s3_conf *conf,
		    struct err *err)
{
	const struct cred_conf cc = {
		.spec = conf->credentials && *conf->credentials ? conf->credentials : "auto",
		.access_key = conf->access_key,
		.secret_key = conf->secret_key,
		.session_token = conf->session_token,
	};
	int rc = copy_conf(s3, conf);

	if (rc == 0)
		rc = s3_endpoint_init(&s3->endpoint, conf, err);
	if (rc == 0)
		rc = cred_provider_new(&cc, &s3->creds, err);
	if (rc == 0)
		rc = make_transport(s3, env, conf, err);
	/* The caller of an upload works on parts as well; one more for the sweep. */
	if (rc == 0)
		rc = pool_new("s3", 2 * s3->part_parallel, &s3->pool);
	return rc;
}

int s3_create(const struct tier_env *env, const struct s3_conf *conf, struct tier **ret_tier,
	      struct err *err)
{
	struct s3 *s3;
	int rc = check_conf(conf, err);

	if (rc < 0)
		return rc;
	s3 = calloc(1, sizeof(*s3));
	if (!s3)
		return -ENOMEM;
	rc = s3_build(s3, env, conf, err);
	if (rc == 0) {
		const struct tier_caps caps = {
			.flags = TIER_CAP_COND_PUT | TIER_CAP_COPY,
			.max_size = S3_MAX_OBJECT,
			.max_metadata = META_MAX,
			/* A marker's key has a slash more. */
			.max_key = (uint32_t)(S3_MAX_KEY - 1 - strlen(s3->prefix)),
			.delete_batch = S3_DELETE_BATCH,
		};

		rc = tier_init(&s3->base, &s3_ops, conf->name ? conf->name : "s3", &caps,
			       env->clock, env->counters);
	}
	if (rc < 0) {
		s3_free(s3);
		return rc;
	}
	*ret_tier = &s3->base;
	return 0;
}
