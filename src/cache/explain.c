/* SPDX-License-Identifier: Apache-2.0 */
/* Explanations: what the policies and the object's own state come to, in words. */
#include "cache/explain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cache/internal.h"

#define TEXT_MAX 512

struct explaining {
	struct cache *c;
	struct obj *o;
	explain_fn *tell;
	void *arg;
	int64_t now_s;
};

__attribute__((format(printf, 4, 5))) static void say(const struct explaining *e, const char *group,
						      const char *name, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	e->tell(e->arg, group, name, text);
}

/* --- its class --- */

static void say_class(const struct explaining *e, const char *key)
{
	struct class_hit hit;
	const struct class_policy *class = policy_match(e->c->policy, key, strlen(key), &hit);

	say(e, NULL, "class", "%s", class->name);
	if (!hit.pattern)
		return;
	say(e, NULL, "pattern", "%s", hit.pattern->text);
	for (unsigned int i = 0; i < hit.pattern->n_names; i++)
		say(e, "placeholders", hit.pattern->names[i], "%.*s", hit.spans[i].len,
		    key + hit.spans[i].off);
}

static const char *tier_name(const struct cache *c, unsigned int tier)
{
	return tier == c->store_tier  ? c->store->name
	       : tier == c->disk_tier ? c->disk->name
				      : c->ram->name;
}

/* Those of its class, as the configuration says it. */
static void say_tiers(const struct explaining *e, const char *key)
{
	const struct cache *c = e->c;
	unsigned int class = policy_match(c->policy, key, strlen(key), NULL)->index;
	const unsigned int tiers[] = {c->ram_tier, c->disk_tier, c->store_tier};
	char text[TEXT_MAX] = "";
	size_t len = 0;

	for (int i = 0; i < 3; i++) {
		const struct tier_policy *p = tiers[i] == NO_TIER
						      ? NULL
						      : policy_of(c->policy, class, tiers[i]);

		if (!p || !p->in || len >= sizeof(text))
			continue;
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len ? ", " : "",
					tier_name(c, tiers[i]));
		if (p->ttl_s != CONF_NEVER && len < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len,
						" (for %" PRId64 " s)", p->ttl_s);
		if (p->max_object != POLICY_NONE && len < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len,
						" (up to %" PRIu64 " bytes)", p->max_object);
	}
	say(e, NULL, "class_tiers", "%s", *text ? text : "none");
}

/* --- its life --- */

static void say_life(const struct explaining *e)
{
	const struct obj *o = e->o;

	if (!o->expires_at || !(o->known & REC_EXPIRES))
		say(e, NULL, "expires", "never");
	else
		say(e, NULL, "expires", "in %" PRId64 " s", o->expires_at - e->now_s);
	if (obj_pinned(e->c, e->o))
		say(e, NULL, "pinned", "%s", o->flags & OBJ_PINNED ? "yes" : "by its class");
}

static void say_copy(const struct explaining *e, unsigned int tier, uint32_t since_s)
{
	int64_t ttl = obj_policy(e->c, e->o, tier)->ttl_s, ago = e->now_s - since_s;

	if (ttl == CONF_NEVER)
		say(e, "copies", tier_name(e->c, tier), "since %" PRId64 " s", ago);
	else
		say(e, "copies", tier_name(e->c, tier),
		    "since %" PRId64 " s; its time there ends in %" PRId64 " s", ago,
		    ttl > ago ? ttl - ago : 0);
}

static void say_copies(const struct explaining *e)
{
	if (e->o->flags & OBJ_RES_RAM)
		say_copy(e, e->c->ram_tier, e->o->ram_s);
	if (e->o->flags & OBJ_RES_DISK)
		say_copy(e, e->c->disk_tier, e->o->filled_s);
	if (e->c->store && e->o->etag)
		say(e, "copies", e->c->store->name, "version %s", e->o->etag);
}

/* --- why it is here, or not --- */

static void say_homeless(const struct explaining *e)
{
	const struct tier_policy *disk = obj_policy(e->c, e->o, e->c->disk_tier),
				 *ram = obj_policy(e->c, e->o, e->c->ram_tier);

	if (disk->in || ram->in)
		say(e, NULL, "kept",
		    "no: it has %" PRIu64 " bytes, more than its class's tiers here take",
		    obj_bytes(e->o));
	else
		say(e, NULL, "kept", "no: its class has no tier here");
}

/* It could be kept, and is not. */
static void say_absent_copy(const struct explaining *e, const struct local *home)
{
	unsigned int tier = home == e->c->disk ? e->c->disk_tier : e->c->ram_tier;
	int64_t ttl = obj_policy(e->c, e->o, tier)->ttl_s;
	uint32_t since = home == e->c->disk ? e->o->filled_s : e->o->ram_s;

	if (e->o->flags & OBJ_LEFT_SHARE)
		say(e, NULL, "kept",
		    "no: it was evicted for others of its class or tenant, which has no more of "
		    "%s",
		    home->name);
	else if (e->o->flags & OBJ_LEFT_TIER)
		say(e, NULL, "kept", "no: it was evicted for others in %s", home->name);
	else if (!since)
		say(e, NULL, "kept", "no: nobody has read it here yet");
	else if (ttl != CONF_NEVER && e->now_s - since >= ttl)
		say(e, NULL, "kept", "no: the copy in %s was dropped, as its time there was over",
		    home->name);
	else
		say(e, NULL, "kept", "no: the copy in %s was dropped, for another version",
		    home->name);
}

static void say_kept(const struct explaining *e)
{
	struct local *home = obj_home(e->c, e->o);

	if (e->o->wr)
		say(e, NULL, "kept", "yes: it is being written");
	else if (e->o->flags & (OBJ_RES_DISK | OBJ_RES_RAM))
		say(e, NULL, "kept", "yes: %s",
		    e->o->flags & OBJ_ALONE   ? "no store has it"
		    : e->o->exist == EX_LOCAL ? "it is not in the store yet"
					      : "it was written or read here");
	else if (!home)
		say_homeless(e);
	else if (!obj_keeps(e->c, e->o))
		say(e, NULL, "kept", "no: RAM takes what is opened twice within 10 minutes");
	else
		say_absent_copy(e, home);
}

/* --- a read --- */

static void say_read_cold(const struct explaining *e)
{
	const struct local *home = obj_home(e->c, e->o);

	if (!e->c->store)
		say(e, NULL, "read", "fails (EIO): its bytes are nowhere");
	else if (breaker_state_get(e->c->breaker) == BREAKER_OPEN)
		say(e, NULL, "read", "fails (EIO) at once: %s does not answer", e->c->store->name);
	else if (e->o->fill && e->o->fill->n_present)
		say(e, NULL, "read", "joins the fill from %s that is under way", e->c->store->name);
	else if (home && obj_keeps(e->c, e->o))
		say(e, NULL, "read", "fetches it from %s and keeps it in %s", e->c->store->name,
		    home->name);
	else
		say(e, NULL, "read", "streams it from %s and keeps nothing", e->c->store->name);
}

static bool is_staged(const struct explaining *e, const char *key)
{
	return e->o->exist == EX_LOCAL && journal_bytes(e->c->journal, key, NULL);
}

static void say_read(const struct explaining *e, const char *key)
{
	const struct local *body = body_next(e->c, e->o);

	if (e->o->flags & OBJ_ARCHIVED)
		say(e, NULL, "read", "fails (EREMOTE): it is archived");
	else if (e->o->wr)
		say(e, NULL, "read", "reads the file that is being written");
	else if (body && !copies_over(e->c, e->o))
		say(e, NULL, "read", "is served from %s, without the store", body->name);
	else if (is_staged(e, key))
		say(e, NULL, "read", "is served from the file that waits for its upload");
	else
		say_read_cold(e);
}

/* --- all of it --- */

static void say_object(const struct explaining *e, const char *key)
{
	say(e, NULL, "size_bytes", "%" PRIu64, obj_bytes(e->o));
	say(e, NULL, "state", "%s", obj_state(e->c, e->o));
	say_copies(e);
	say_life(e);
	say_kept(e);
	say_read(e, key);
}

static void say_nothing_there(const struct explaining *e, const char *key)
{
	const struct class_policy *class = policy_match(e->c->policy, key, strlen(key), NULL);
	bool asked = e->c->store &&
		     (!class->conf || policy_of(e->c->policy, class->index, e->c->store_tier)->in);

	if (e->o && obj_live(e->o) && obj_expired(e->c, e->o))
		say(e, NULL, "state", "expired");
	else
		say(e, NULL, "state", "absent");
	say(e, NULL, "kept", "no: there is nothing%s",
	    !e->c->store ? ""
	    : asked	 ? ", in the store neither"
			 : "; no store is asked for its class");
	say(e, NULL, "read", "fails (ENOENT)");
}

void cache_explain(struct cache *c, const char *key, struct obj *o, explain_fn *tell, void *arg)
{
	struct explaining e = {.c = c, .o = o, .tell = tell, .arg = arg};

	SCOPE_LOCK(&c->lock);
	e.now_s = clock_wall(c->clock) / NSEC_PER_SEC;
	if (!o)
		e.o = tree_peek(c, key);
	if (o && obj_is_dir(o)) {
		say(&e, NULL, "state", "a directory: classes are of files");
		return;
	}
	say_class(&e, key);
	say_tiers(&e, key);
	if (o && obj_live(o) && !obj_expired(c, o))
		say_object(&e, key);
	else
		say_nothing_there(&e, key);
}
