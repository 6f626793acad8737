/*
 * Folders of jobs that the database does not know: it was lost, or is an older
 * copy.  They are named at the start, and a person takes them back.
 *
 *	<state>/jobs/<id>/record.json   the record: all comes back, id, name,
 *	                                priority, labels, attempts, keys
 *	              .../job.json      the normal form alone, of a rekindled
 *	                                that kept no record there: what it says,
 *	                                and how far the newest checkpoint is
 *
 * What had ended has ended.  Whatever else it was, the job is PAUSED, reason
 * `adopted`: how old the record is nobody knows, and a person who has just lost
 * a database looks first.  Folders are anybody's who may write here: nothing is
 * followed, lengths are bounded, and the record is read as one from a bucket.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"

#define RECORD_MAX  (8u << 20)
#define STRAYS_MAX  100000
#define NAMED_MAX   10          /* in the log */

/* --- reading a folder ----------------------------------------------------- */

/* As rk_read_file(), of a file that is no link. */
static enum rk_err
read_plain(int dirfd, const char *name, size_t max, char **text, size_t *len)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return rk_from_errno(errno);
	return S_ISREG(st.st_mode) ? rk_read_file(dirfd, name, max, text, len) :
	    RK_EINVAL;
}

static enum rk_err
read_tree(int dirfd, const char *name, size_t max, json_t **tree,
    struct rk_why *why)
{
	struct rk_why own = { 0 };
	char *text = NULL;
	size_t len = 0;
	enum rk_err rc = read_plain(dirfd, name, max, &text, &len);

	if (rc == RK_OK)
		rc = rkj_parse_json(text, len, tree, &own);
	if (rc == RK_OK && !json_is_object(*tree)) {
		json_decref(*tree);
		*tree = NULL;
		rc = rk_refuse(&own, "is no JSON object");
	}
	if (rc != RK_OK && rc != RK_ENOENT)
		rk_refuse(why, "its %s cannot be used: %s", name, own.n > 0 ?
		    rk_why_first(&own) : rc == RK_EINVAL ? "it is no file" :
		    rk_strerror(rc));
	rk_why_fini(&own);
	free(text);
	return rc;
}

/* A normal form as a record of a job that rests. */
static enum rk_err
record_of_job(int dirfd, const char *id, json_t **record, struct rk_why *why)
{
	struct rk_why own = { 0 };
	struct spec *spec = NULL;
	json_t *tree = NULL;
	struct job_row r;
	struct stat st;
	enum rk_err rc = read_tree(dirfd, "job.json", SPEC_MAX_NORMAL, &tree,
	    why);

	if (rc == RK_ENOENT)
		rk_refuse(why, "it has neither " RECORD_FILE " nor job.json: "
		    "nothing says what it trains");
	if (rc == RK_OK) {
		rc = spec_parse(tree, &spec, &own);
		if (rc != RK_OK)
			rk_refuse(why, "its job.json cannot be used: %s",
			    rk_why_first(&own));
	}
	if (rc == RK_OK) {
		submit_row(&r, spec, tree);
		memcpy(r.id, id, RK_ID);
		if (fstatat(dirfd, "job.json", &st, 0) == 0)
			r.created_ms = (int64_t)st.st_mtim.tv_sec * 1000;
		r.updated_ms = r.created_ms;
		r.version = 1;
		*record = store_job_record(&r);
		store_job_fini(&r);
	}
	spec_free(spec);
	json_decref(tree);
	rk_why_fini(&own);
	return rc;
}

static const char *
row_text(const json_t *record, const char *key)
{
	const char *t = json_string_value(json_object_get(json_object_get(
	    record, "row"), key));

	return t != NULL ? t : "";
}

static enum rk_err
check_record(const json_t *record, const char *id, struct rk_why *why)
{
	const char *text = row_text(record, "spec");
	struct rk_why own = { 0 };
	json_t *tree = NULL;
	struct spec *spec = NULL;
	enum rk_err rc = RK_OK;

	if (strcmp(row_text(record, "id"), id) != 0)
		rc = rk_refuse(why, "its " RECORD_FILE " is of job \"%.40s\"",
		    row_text(record, "id"));
	if (rc == RK_OK && (rc = rkj_parse_json(text, strlen(text), &tree,
	    &own)) == RK_OK)
		rc = spec_parse(tree, &spec, &own);
	if (rc != RK_OK && own.n > 0)
		rk_refuse(why, "the job in its " RECORD_FILE " cannot be "
		    "used: %s", rk_why_first(&own));
	spec_free(spec);
	json_decref(tree);
	rk_why_fini(&own);
	return rc;
}

/* What lies in jobs/<id>: a new reference.  RK_ENOENT: there is no folder. */
static enum rk_err
read_folder(struct sup *s, const char *id, json_t **record, struct rk_why *why)
{
	int fd = openat(s->jobs_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC |
	    O_NOFOLLOW);
	enum rk_err rc;

	*record = NULL;
	if (fd < 0 && errno == ENOENT)
		return RK_ENOENT;
	if (fd < 0)
		return rk_refuse(why, "%s/%s is no folder of a job: %s",
		    s->jobs_dir, id, strerror(errno));
	rc = read_tree(fd, RECORD_FILE, RECORD_MAX, record, why);
	if (rc == RK_ENOENT)
		rc = record_of_job(fd, id, record, why);
	else if (rc == RK_OK)
		rc = check_record(*record, id, why);
	rk_close(&fd);
	if (rc != RK_OK) {
		json_decref(*record);
		*record = NULL;
		rc = rc == RK_ENOENT ? RK_EINVAL : rc;
	}
	return rc;
}

/* --- who has no row ------------------------------------------------------- */

static bool
has_row(struct sup *s, const char *id)
{
	struct job_row r;
	enum rk_err rc = store_job_get(s->store, id, &r);

	if (rc == RK_OK)
		store_job_fini(&r);
	return rc != RK_ENOENT;
}

void
strays_fini(struct sup *s)
{
	free(s->strays);
	s->strays = NULL;
	s->nstrays = 0;
}

static void
say_strays(struct sup *s)
{
	struct strbuf b = { 0 };

	for (size_t i = 0; i < s->nstrays && i < NAMED_MAX; i++)
		sb_addf(&b, "%s%s", i > 0 ? ", " : "", s->strays[i]);
	if (s->nstrays > NAMED_MAX)
		sb_addf(&b, " and %zu more", s->nstrays - NAMED_MAX);
	log_warn("sup: %zu folder%s in %s that the database has no record of "
	    "(was it lost, or is it an older copy?): %s; `rekindle adopt` "
	    "takes them back", s->nstrays, rk_s((int64_t)s->nstrays),
	    s->jobs_dir, sb_str(&b));
	sb_fini(&b);
}

static int
by_id(const void *a, const void *b)
{
	return strcmp(a, b);
}

void
strays_find(struct sup *s)
{
	int fd = openat(s->jobs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	strays_fini(s);
	if (d == NULL) {
		rk_close(&fd);
		return;
	}
	while ((e = readdir(d)) != NULL && s->nstrays < STRAYS_MAX) {
		if (!rk_id_ok(e->d_name) || has_row(s, e->d_name))
			continue;
		if ((s->nstrays & (s->nstrays - 1)) == 0)
			s->strays = xrealloc(s->strays, RK_MAX(s->nstrays * 2,
			    (size_t)1) * sizeof(*s->strays));
		memcpy(s->strays[s->nstrays++], e->d_name, RK_ID);
	}
	closedir(d);
	if (s->nstrays == 0)
		return;
	qsort(s->strays, s->nstrays, RK_ID, by_id);
	say_strays(s);
}

static bool
still_stray(struct sup *s, const char *id)
{
	return faccessat(s->jobs_fd, id, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
	    !has_row(s, id);
}

size_t
sup_strays(struct sup *s, sup_stray_fn *fn, void *ctx)
{
	size_t n = 0;

	must_be(s, SUP_TAG);
	for (size_t i = 0; i < s->nstrays; i++) {
		if (!still_stray(s, s->strays[i]))
			continue;
		if (n != i)
			memcpy(s->strays[n], s->strays[i], RK_ID);
		n++;
	}
	s->nstrays = n;
	for (size_t i = 0; i < n && fn != NULL; i++) {
		struct rk_why why = { 0 };
		json_t *record = NULL;
		(void)!read_folder(s, s->strays[i], &record, &why);
		bool more = fn(ctx, s->strays[i], row_text(record, "name"),
		    why.n > 0 ? rk_why_first(&why) : "");
		json_decref(record);
		rk_why_fini(&why);
		if (!more)
			break;
	}
	return n;
}

/* --- taking one back ------------------------------------------------------ */

static void
put(json_t *o, const char *key, json_t *v)
{
	must(v != NULL && json_object_set_new(o, key, v) == 0);
}

/* Whoever trained it last is not there any more. */
static void
end_attempts(json_t *record)
{
	json_t *a;
	size_t i;

	json_array_foreach(json_object_get(record, "attempts"), i, a) {
		const char *how = json_string_value(json_object_get(a,
		    "outcome"));
		if (!json_is_object(a) || how == NULL || how[0] != '\0')
			continue;
		put(a, "outcome", json_string("interrupted"));
		put(a, "message", json_string("the database was lost"));
		put(a, "ended_ms", json_integer(now_ms()));
	}
}

/* The folder knows of what was done since the record was written. */
static void
put_newest(struct sup *s, const char *id, json_t *row)
{
	struct ckpt_info i = { 0 };

	if (own_latest(s, id, &i) != RK_OK)
		return;
	if (i.step >= json_integer_value(json_object_get(row, "known_step"))) {
		put(row, "known_dir", json_string(i.dir));
		put(row, "known_step", json_integer(i.step));
		put(row, "known_ms", json_integer(i.created_ms));
	}
	if (i.attempt > json_integer_value(json_object_get(row, "attempt")))
		put(row, "attempt", json_integer(i.attempt));
	ckpt_info_fini(&i);
}

static bool
word_is(const json_t *row, const char *key, const char *word)
{
	const char *t = json_string_value(json_object_get(row, key));

	return t != NULL && strcmp(t, word) == 0;
}

static void
put_at_rest(struct sup *s, const char *id, json_t *record)
{
	json_t *row = json_object_get(record, "row");
	const int64_t version = json_integer_value(json_object_get(row,
	    "version"));

	if (version < INT64_MAX)        /* else it is refused */
		put(row, "version", json_integer(version + 1));
	put(row, "updated_ms", json_integer(now_ms()));
	put_newest(s, id, row);
	end_attempts(record);
	for (int k = 0; k < JOB_STATES; k++)
		if (job_ended((enum job_state)k) &&
		    word_is(row, "state", job_state_words[k]))
			return;
	char *text = xasprintf("taken back from its folder; goes on with: "
	    "rekindle resume %s", id);
	put(row, "state", json_string(job_state_words[JOB_PAUSED]));
	put(row, "desired", json_string(job_desired_words[JOB_PAUSE]));
	put(row, "reason", json_string("adopted"));
	put(row, "message", json_string(text));
	put(row, "not_before_ms", json_integer(0));
	put(row, "failures", json_integer(0));
	free(text);
}

/* Of another machine's jobs the other machine has the say. */
static enum rk_err
check_owner(const struct sup *s, const json_t *record, struct rk_why *why)
{
	const json_t *all = json_object_get(record, "attempts");
	const char *who = json_string_value(json_object_get(json_array_get(all,
	    json_array_size(all) - 1), "instance"));

	if (who == NULL || who[0] == '\0' || s->c.instance[0] == '\0' ||
	    strcmp(who, s->c.instance) == 0)
		return RK_OK;
	rk_refuse(why, "it was trained as instance %.64s, and this daemon is "
	    "%s: whoever has that name may be going on with it", who,
	    s->c.instance);
	return RK_ECONFLICT;
}

static enum rk_err
check_free(struct sup *s, const char *id, struct rk_why *why)
{
	if (has_row(s, id)) {
		rk_refuse(why, "job %s is in the database: there is nothing to "
		    "take back", id);
		return RK_ECONFLICT;
	}
	if (sup_job_locked(s, id)) {
		rk_refuse(why, "the trainer of an earlier daemon has not left "
		    "its folder yet: ask again");
		return RK_ECONFLICT;
	}
	return RK_OK;
}

static enum rk_err
import(struct sup *s, const char *id, json_t *record, struct rk_why *why)
{
	const char *said = json_string_value(json_object_get(record,
	    "said_here"));
	struct rk_why own = { 0 };
	struct store_note note = { .kind = "adopted", .message = "taken back "
	    "from its folder: the database had no record of it" };

	put_at_rest(s, id, record);
	enum rk_err rc = store_job_import(s->store, record, said, &note, &own);
	if (rc == RK_EINVAL)
		rk_refuse(why, "its " RECORD_FILE " cannot be used: %s",
		    rk_why_first(&own));
	rk_why_fini(&own);
	return rc;
}

enum rk_err
sup_adopt(struct sup *s, const char *id, struct rk_why *why)
{
	json_t *record = NULL;
	enum rk_err rc;

	must_be(s, SUP_TAG);
	if (!rk_id_ok(id))
		return rk_refuse(why, "\"%.40s\" is no id of a job", id);
	rc = check_free(s, id, why);
	if (rc == RK_OK && (rc = read_folder(s, id, &record, why)) == RK_ENOENT)
		rk_refuse(why, "there is no folder of a job %s", id);
	if (rc == RK_OK)
		rc = check_owner(s, record, why);
	if (rc == RK_OK)
		rc = import(s, id, record, why);
	json_decref(record);
	if (rc != RK_OK)
		return rc;
	record_file_keep(s, id);
	log_info("job=%s taken back from its folder", id);
	sup_tell(s, id, 's');
	sup_tell(s, id, 'e');
	sup_tell(s, id, 'c');
	return RK_OK;
}
