/* SPDX-License-Identifier: Apache-2.0 */
/* What fsck and import tell, as JSON (report.h). */
#include "observe/report.h"

#include "observe/stats.h"

json_t *report_check_finding(const struct check_finding *f)
{
	static const char *const names[] = {
		[CHECK_REPAIRED] = "repaired", [CHECK_LEFT] = "left", [CHECK_NOTED] = "noted"};

	return json_pack("{s:o, s:o, s:o, s:o, s:s}", "path", stats_text(f->path), "tier",
			 stats_text(f->tier), "what", stats_text(f->what), "action",
			 stats_text(f->action), "outcome", names[f->outcome]);
}

json_t *report_check_totals(const struct check_totals *t)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "files",
			 (json_int_t)t->files, "bytes", (json_int_t)t->bytes, "expected",
			 (json_int_t)t->expected, "entries", (json_int_t)t->entries, "cold",
			 (json_int_t)t->cold, "unsafe_keys", (json_int_t)t->unsafe_keys,
			 "unverified", (json_int_t)t->unverified, "repaired",
			 (json_int_t)t->repaired, "left", (json_int_t)t->left, "noted",
			 (json_int_t)t->noted);
}

json_t *report_import_finding(const char *path, enum import_outcome outcome, const char *why)
{
	static const char *const names[] = {[IMPORT_DONE] = "imported",
					    [IMPORT_THERE] = "there",
					    [IMPORT_DIFFERS] = "differs",
					    [IMPORT_SKIPPED] = "skipped",
					    [IMPORT_FAILED] = "failed"};

	return json_pack("{s:o, s:o, s:s}", "path", stats_text(path), "what", stats_text(why),
			 "outcome", names[outcome]);
}

json_t *report_import_totals(const struct import_totals *t)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "files",
			 (json_int_t)t->files, "bytes", (json_int_t)t->bytes, "expected",
			 (json_int_t)t->expected, "imported", (json_int_t)t->imported, "there",
			 (json_int_t)t->there, "differs", (json_int_t)t->differs, "skipped",
			 (json_int_t)t->skipped, "failed", (json_int_t)t->failed, "shared",
			 (json_int_t)t->shared, "copied", (json_int_t)t->copied);
}
