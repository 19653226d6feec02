/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the cases against one store. */
#include "cases.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "util/cleanup.h"

static const struct conformance_case *const all_cases[] = {
	cases_object, cases_get,  cases_cond, cases_race,
	cases_list,   cases_keys, cases_copy, cases_call,
};

/* One case with its store, as cmocka hands it on. */
struct run {
	struct fixture *f;
	const struct conformance_case *c;
};

/* Empties the store through the contract itself. */
static void delete_all(struct fixture *f)
{
	struct names names;

	assert_int_equal(list_names(f, "", false, 0, &names), 0);
	for (size_t i = 0; i < names.n; i++) {
		size_t len = strlen(names.v[i]);
		bool marker = len > 2 && strcmp(names.v[i] + len - 2, "/!") == 0;

		if (marker)
			names.v[i][len - 2] = '\0';
		assert_int_equal(del_key(f, names.v[i], marker, NULL), 0);
	}
	names_release(&names);
}

static void empty_scratch(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fdopendir(fd);
	struct dirent *de;

	assert_non_null(dir);
	while ((de = readdir(dir)))
		unlinkat(dirfd, de->d_name, 0);
	closedir(dir);
}

static void run_case(void **state)
{
	const struct run *run = *state;

	if (run->f->conf->reset)
		run->f->conf->reset(run->f->conf->arg, run->f->t);
	else
		delete_all(run->f);
	empty_scratch(run->f->scratch_fd);
	run->c->run(run->f);
}

static size_t count_cases(void)
{
	size_t n = 0;

	for (size_t i = 0; i < sizeof(all_cases) / sizeof(all_cases[0]); i++)
		for (const struct conformance_case *c = all_cases[i]; c->name; c++)
			n++;
	return n;
}

static int run_all(struct fixture *f)
{
	size_t n = count_cases(), at = 0;
	struct CMUnitTest *tests = calloc(n, sizeof(*tests));
	struct run *runs = calloc(n, sizeof(*runs));
	int failed;

	assert_true(tests && runs);
	for (size_t i = 0; i < sizeof(all_cases) / sizeof(all_cases[0]); i++) {
		for (const struct conformance_case *c = all_cases[i]; c->name; c++, at++) {
			runs[at] = (struct run){.f = f, .c = c};
			tests[at] = (struct CMUnitTest){
				.name = c->name, .test_func = run_case, .initial_state = &runs[at]};
		}
	}
	failed = _cmocka_run_group_tests(f->conf->name, tests, n, NULL, NULL);
	free(tests);
	free(runs);
	return failed;
}

int conformance_run(const struct conformance *conf)
{
	char scratch[] = "/tmp/cogfs-conformance-XXXXXX";
	struct fixture f = {.conf = conf, .scratch_fd = -1};
	int failed = 1;

	if (!mkdtemp(scratch))
		return 1;
	f.scratch_fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f.t = conf->make(conf->arg);
	if (f.scratch_fd >= 0 && f.t)
		failed = run_all(&f);
	tier_close(f.t);
	if (f.scratch_fd >= 0) {
		empty_scratch(f.scratch_fd);
		close(f.scratch_fd);
	}
	rmdir(scratch);
	return failed;
}
