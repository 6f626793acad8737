/*
 * record.json: a job's record (store_job_export()) in its own folder, beside
 * job.json, so that the job can be taken back when the database is lost.
 *
 * The database is the truth, and this a copy: written before each attempt and
 * behind each change of a job that rests or has ended, priority and labels
 * included.  A job that has never started has no folder, and no copy.
 * `said_here` is the row's, which no record has.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

enum rk_err
record_file_put(struct sup *s, const char *id)
{
	json_t *record = NULL;
	struct job_row r;
	int fd = openat(s->jobs_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC |
	    O_NOFOLLOW);

	if (fd < 0)
		return RK_OK;           /* it has never started */
	enum rk_err rc = store_job_get(s->store, id, &r);
	if (rc == RK_OK) {
		rc = store_job_export(s->store, id, &record);
		if (rc == RK_OK)
			json_object_set_new(record, "said_here",
			    json_string(r.said_here));
		store_job_fini(&r);
	}
	if (rc == RK_OK) {
		char *text = rkj_pretty(record);
		rc = rk_replace_file(fd, RECORD_FILE, text, strlen(text));
		free(text);
	}
	json_decref(record);
	rk_close(&fd);
	return rc;
}

void
record_file_keep(struct sup *s, const char *id)
{
	enum rk_err rc = record_file_put(s, id);

	if (rc != RK_OK)
		log_warn("job=%s its folder's " RECORD_FILE " is older than "
		    "the database: %s", id, rk_strerror(rc));
}
