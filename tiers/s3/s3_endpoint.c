/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where requests go. What the configuration leaves out comes from where the AWS tools look: the
 * environment, then the profile's settings in the shared files, then the default.
 */
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/http/buf.h"
#include "tiers/http/profile.h"
#include "tiers/s3/s3.h"
#include "util/cleanup.h"

#define DEFAULT_REGION "us-east-1"

static const char *env_any(const char *first, const char *second)
{
	const char *value = getenv(first);

	if (!value || !*value)
		value = getenv(second);
	return value && *value ? value : NULL;
}

/* The profile that the credentials come from also says region and endpoint. */
static const char *profile_of(const struct s3_conf *conf)
{
	if (conf->credentials && strncmp(conf->credentials, "file:", 5) == 0)
		return conf->credentials + 5;
	return aws_profile_name();
}

static int choose_region(struct s3_endpoint *ep, const struct s3_conf *conf,
			 const struct aws_profile *profile)
{
	const char *region = conf->region;

	if (!region || !*region)
		region = env_any("AWS_REGION", "AWS_DEFAULT_REGION");
	if (!region)
		region = profile->region;
	ep->region = strdup(region ? region : DEFAULT_REGION);
	return ep->region ? 0 : -ENOMEM;
}

/* malloc'ed */
static char *choose_endpoint(const struct s3_endpoint *ep, const struct s3_conf *conf,
			     const struct aws_profile *profile)
{
	const char *url = conf->endpoint;
	char *made;

	if (!url || !*url)
		url = env_any("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
	if (!url)
		url = profile->endpoint_url;
	if (url)
		return strdup(url);
	if (asprintf(&made, "https://s3.%s.amazonaws.com%s", ep->region,
		     strncmp(ep->region, "cn-", 3) == 0 ? ".cn" : "") < 0)
		return NULL;
	return made;
}

static bool ends_in(const char *s, const char *tail)
{
	size_t n = strlen(s), m = strlen(tail);

	return n >= m && strcmp(s + n - m, tail) == 0;
}

/*
 * A bucket is a host's first label on AWS; elsewhere that needs a wildcard in the DNS, so the path
 * is the default. A name that a certificate's wildcard does not cover goes into the path anyway.
 */
static bool use_path_style(const struct s3_conf *conf, const char *host, bool tls)
{
	bool aws = ends_in(host, ".amazonaws.com") || ends_in(host, ".amazonaws.com.cn");

	if (conf->path_style || conf->virtual_host)
		return conf->path_style;
	for (const char *c = conf->bucket; *c; c++) {
		if ((*c == '.' && tls) || *c == '_' || isupper((unsigned char)*c))
			return true;
	}
	return !aws;
}

/* The parts of an endpoint's URL; curl's strings. */
struct url_parts {
	char *scheme, *host, *port, *path;
};

static void url_parts_release(struct url_parts *u)
{
	curl_free(u->scheme);
	curl_free(u->host);
	curl_free(u->port);
	curl_free(u->path);
}

static bool url_has(CURLU *url, CURLUPart part)
{
	char *text = NULL;
	bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK;

	curl_free(text);
	return has;
}

static int url_split(const char *text, struct url_parts *ret, struct err *err)
{
	CURLU *url = curl_url();
	bool good;

	if (!url)
		return -ENOMEM;
	good = curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
	       curl_url_get(url, CURLUPART_SCHEME, &ret->scheme, 0) == CURLUE_OK &&
	       curl_url_get(url, CURLUPART_HOST, &ret->host, 0) == CURLUE_OK &&
	       curl_url_get(url, CURLUPART_PATH, &ret->path, 0) == CURLUE_OK &&
	       !url_has(url, CURLUPART_USER) && !url_has(url, CURLUPART_QUERY) &&
	       !url_has(url, CURLUPART_FRAGMENT) &&
	       (strcmp(ret->scheme, "http") == 0 || strcmp(ret->scheme, "https") == 0);
	if (good &&
	    curl_url_get(url, CURLUPART_PORT, &ret->port, CURLU_NO_DEFAULT_PORT) != CURLUE_OK)
		ret->port = NULL;
	curl_url_cleanup(url);
	/* The text is not repeated: it may have a password in it. */
	return good ? 0
		    : err_set(err, -EINVAL,
			      "endpoint: must be http://HOST[:PORT] or https://HOST[:PORT]");
}

/* The path's own part of the endpoint ("/s3" behind a gateway), without a slash at its end. */
static void add_base_path(struct buf *b, const char *path)
{
	size_t len = strlen(path);

	while (len && path[len - 1] == '/')
		len--;
	buf_add(b, path, len);
}

static int endpoint_build(struct s3_endpoint *ep, const struct s3_conf *conf,
			  const struct url_parts *u)
{
	bool path_style = use_path_style(conf, u->host, strcmp(u->scheme, "https") == 0);
	CLEANUP_BUF struct buf path = {0};
	CLEANUP_BUF struct buf host = {0};

	if (!path_style)
		buf_addf(&host, "%s.", conf->bucket);
	buf_adds(&host, u->host);
	/* curl leaves a scheme's default port out of Host, and so does the signature. */
	if (u->port && strcmp(u->port, strcmp(u->scheme, "https") == 0 ? "443" : "80") != 0)
		buf_addf(&host, ":%s", u->port);
	add_base_path(&path, u->path);
	if (path_style) {
		buf_addc(&path, '/');
		url_encode(&path, conf->bucket, strlen(conf->bucket), false);
	}
	if (!buf_str(&host) || !buf_str(&path))
		return -ENOMEM;
	if (asprintf(&ep->origin, "%s://%s", u->scheme, host.data) < 0) {
		ep->origin = NULL;
		return -ENOMEM;
	}
	ep->host = strdup(host.data);
	ep->path = strdup(buf_str(&path));
	return ep->host && ep->path ? 0 : -ENOMEM;
}

int s3_endpoint_init(struct s3_endpoint *ep, const struct s3_conf *conf, struct err *err)
{
	CLEANUP_FREE char *text = NULL;
	struct aws_profile profile = {0};
	struct url_parts u = {0};
	int rc = 0;

	/* A file that cannot be read matters to credentials, which say so themselves. */
	if (aws_profile_read(profile_of(conf), &profile, NULL) < 0)
		profile = (struct aws_profile){0};
	rc = choose_region(ep, conf, &profile);
	if (rc == 0) {
		text = choose_endpoint(ep, conf, &profile);
		rc = text ? url_split(text, &u, err) : -ENOMEM;
	}
	if (rc == 0)
		rc = endpoint_build(ep, conf, &u);
	url_parts_release(&u);
	aws_profile_release(&profile);
	return rc;
}

void s3_endpoint_release(struct s3_endpoint *ep)
{
	free(ep->region);
	free(ep->origin);
	free(ep->host);
	free(ep->path);
	*ep = (struct s3_endpoint){0};
}
