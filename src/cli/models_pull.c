/*
 * rekindle models pull: the files of a version, into a folder.
 *
 * A file appears under its name whole, with the digest that the record has, and
 * on the disk.  Before that it is a temporary file whose name is made of its
 * name and digest, so that a pull that was broken off, whenever, goes on with
 * what has come of the same bytes.  What a daemon makes on the way, in another
 * format, has no digest before: such a file begins anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "models.h"
#include "rekindle/base_folders.h"

#define RECORD "version.json"
#define RECORD_MAX ((size_t)64 << 20)
#define FILES_MAX 1100
#define TRIES 6                 /* in a row of which no byte came */
#define WAIT_US 500000

struct pulled {
	const char *name;
	const char *sha256;     /* "": of no known digest */
	uint64_t size;
	bool there;             /* the same bytes were there already */
};

struct pull {
	const struct cli_args *a;
	const char *folder;
	int dirfd;
	const json_t *record;
	struct which which;     /* by its number: an alias may move meanwhile */
	struct pulled files[FILES_MAX];
	size_t n;
	json_t *said;           /* what has come */
};

static enum cli_exit
cannot(const struct pull *p, const char *name, const char *why)
{
	fprintf(stderr, "rekindle: cannot write %s/%s: %s\n", p->folder, name,
	    why);
	return CLI_REFUSED;
}

/* --- what is to come ------------------------------------------------------ */

/* A record is not ours: what it names stays in the folder. */
static bool
name_ok(const char *s)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	const size_t n = strlen(s);

	return n > 0 && n <= 128 && strspn(s, letters) == n && s[0] != '.' &&
	    strcmp(s, RECORD) != 0;
}

static bool
sha256_ok(const char *s)
{
	return strlen(s) == RK_SHA256_HEX - 1 &&
	    strspn(s, "0123456789abcdef") == RK_SHA256_HEX - 1;
}

static const json_t *
file_of(const json_t *record, const char *name)
{
	const json_t *f;
	size_t i;

	json_array_foreach(json_object_get(record, "files"), i, f)
		if (strcmp(cli_str(f, "name"), name) == 0)
			return f;
	return NULL;
}

static const char *
file_of_format(const char *format)
{
	static const struct {
		const char *format, *file;
	} all[] = { { "safetensors", "model.safetensors" },
	    { "paddle", "model.pdparams" }, { "pytorch", "model.pt" } };

	for (size_t i = 0; i < RK_ARRAY_LEN(all); i++)
		if (strcmp(all[i].format, format) == 0)
			return all[i].file;
	return NULL;
}

static enum cli_exit
add_file(struct pull *p, const char *name, const json_t *f)
{
	const char *sha256 = cli_str(f, "sha256");

	if (!name_ok(name) || (f != NULL && !sha256_ok(sha256)) ||
	    p->n == FILES_MAX) {
		char *shown = models_line(name);
		fprintf(stderr, "rekindle: the record of %s/%s names a file "
		    "\"%.80s\", which is none of a version\n", p->which.name,
		    p->which.version, shown);
		free(shown);
		return CLI_REFUSED;
	}
	p->files[p->n++] = (struct pulled){ .name = name, .sha256 = sha256,
		.size = (uint64_t)RK_MAX(cli_num(f, "size", 0), 0) };
	return CLI_OK;
}

static enum cli_exit
list_files(struct pull *p)
{
	const json_t *files = json_object_get(p->record, "files"), *f;
	const char *name;
	enum cli_exit rc = CLI_OK;
	size_t i;

	if (json_is_true(json_object_get(p->record, "deleted"))) {
		fprintf(stderr, "rekindle: %s/%s was deleted, and its files "
		    "are gone\n", p->which.name, p->which.version);
		return CLI_REFUSED;
	}
	if (p->a->format != NULL) {
		name = file_of_format(p->a->format);
		return add_file(p, name, file_of(p->record, name));
	}
	json_array_foreach(files, i, f)
		if (rc == CLI_OK && strcmp(cli_str(f, "name"), RECORD) != 0)
			rc = add_file(p, cli_str(f, "name"), f);
	if (rc == CLI_OK && p->n == 0) {
		fprintf(stderr, "rekindle: the record of %s/%s names no "
		    "file\n", p->which.name, p->which.version);
		rc = CLI_REFUSED;
	}
	return rc;
}

/* --- what is there -------------------------------------------------------- */

/* Does this file have these bytes? */
static bool
has_digest(int dirfd, const char *name, const char *sha256)
{
	char hex[RK_SHA256_HEX] = "";
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	const bool same = fd >= 0 && *sha256 != '\0' && rk_sha256_of_fd(fd,
	    hex, NULL) == RK_OK && strcmp(hex, sha256) == 0;
	rk_close(&fd);
	return same;
}

/* The record of this version, of whatever time? */
static bool
is_our_record(const struct pull *p)
{
	json_t *v = NULL;
	char *text = NULL;
	size_t len;
	bool is = false;

	if (rk_read_file(p->dirfd, RECORD, RECORD_MAX, &text, &len) == RK_OK)
		v = json_loadb(text, len, 0, NULL);
	if (v != NULL)
		is = *cli_str(v, "id") != '\0' && strcmp(cli_str(v, "id"),
		    cli_str(p->record, "id")) == 0;
	json_decref(v);
	free(text);
	return is;
}

/* All that is in the way is named at once. */
static enum cli_exit
look_at_folder(struct pull *p)
{
	enum cli_exit rc = CLI_OK;
	struct stat st;

	for (size_t i = 0; i <= p->n; i++) {
		struct pulled *f = i < p->n ? &p->files[i] : NULL;
		const char *name = f != NULL ? f->name : RECORD;
		if (fstatat(p->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		if (f != NULL)
			f->there = has_digest(p->dirfd, name, f->sha256);
		if (p->a->force || (f != NULL ? f->there : is_our_record(p)))
			continue;
		fprintf(stderr, "rekindle: %s/%s is there already, with other "
		    "bytes" CLI_SAY_FORCE "\n", p->folder, name);
		rc = CLI_REFUSED;
	}
	return rc;
}

static enum cli_exit
open_folder(struct pull *p)
{
	char *which;
	int e = rk_make_folders(p->folder, 0777, &which);

	if (e == 0) {
		p->dirfd = open(p->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		e = errno;
	}
	if (p->dirfd < 0)
		fprintf(stderr, "rekindle: cannot make the folder %s: %s\n",
		    which != NULL ? which : p->folder, strerror(e));
	free(which);
	if (p->dirfd < 0)
		return CLI_REFUSED;
	if (flock(p->dirfd, LOCK_EX | LOCK_NB) == 0)
		return CLI_OK;
	fprintf(stderr, "rekindle: another pull into %s is under way\n",
	    p->folder);
	return CLI_REFUSED;
}

/* --- one file ------------------------------------------------------------- */

/* The same for the same bytes of the same file; another for each try of what
 * has no digest. */
static void
temp_name(const struct pulled *f, char out[64])
{
	char *text = *f->sha256 != '\0' ? xasprintf("%s %s", f->name,
	    f->sha256) : xasprintf("%s %lld %d", f->name,
	    (long long)now_ms(), (int)getpid());
	char hex[RK_SHA256_HEX];

	rk_sha256_of(text, strlen(text), hex);
	snprintf(out, 64, RK_TMP_PREFIX "%.16s", hex);
	free(text);
}

static uint64_t
size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size :
	    0;
}

/* Why the answer is no file, said; CLI_OK: it is one, or the rest of one. */
static enum cli_exit
judge(const struct pull *p, const struct pulled *f, struct cli_ended *e)
{
	struct cli_reply r = {0};
	enum cli_exit rc = CLI_OK;

	if (e->end == HTTP_ANSWERED && (e->status == 200 || e->status == 206))
		return CLI_OK;
	if (e->end == HTTP_DISK)
		rc = cannot(p, f->name, e->error);
	else if (e->end != HTTP_ANSWERED && e->status == 0)
		rc = cli_unreachable(cli_why_unreachable(e));
	else if (e->end == HTTP_ANSWERED)
		rc = cli_judge(&r, e, false);
	else {
		fprintf(stderr, "rekindle: %s broke off: %s; the same command "
		    "goes on with it\n", f->name, e->error);
		rc = CLI_REFUSED;
	}
	cli_reply_fini(&r);
	return rc;
}

/* It has ended well, or so that another try does not help. */
static bool
is_over(const struct cli_ended *e)
{
	return e->end == HTTP_ANSWERED || e->end == HTTP_DISK ||
	    e->end == HTTP_NO_CONNECTION || e->end == HTTP_BAD_REQUEST;
}

/* All of it into fd, from where fd ends. */
static enum cli_exit
fetch(const struct pull *p, const struct pulled *f, int fd)
{
	struct strbuf body = {0};
	struct cli_ended e = { .body = &body };
	char *tail = xasprintf("/files/%s", f->name);
	char *path = which_path(&p->which, tail), etag[sizeof(e.etag)] = "";

	free(tail);
	for (int tries = 0; tries < TRIES; tries++) {
		const uint64_t at = size_of(fd);
		if (*f->sha256 != '\0' && at == f->size && at > 0) {
			e.end = HTTP_ANSWERED;
			e.status = 200;
			break;
		}
		if (tries > 0)
			usleep(WAIT_US);
		cli_fetch(path, fd, at, &e);
		/* The rest of other bytes: all of it again. */
		const bool other = *etag != '\0' && strcmp(etag, e.etag) != 0;
		if ((e.status == 206 && other) || (e.end == HTTP_ANSWERED &&
		    e.status == 416) || (at > 0 && e.status == 200)) {
			(void)!ftruncate(fd, 0);
			*etag = '\0';
			continue;
		}
		snprintf(etag, sizeof(etag), "%s", e.etag);
		if (is_over(&e))
			break;
		tries = e.sunk > 0 ? 0 : tries;
	}
	const enum cli_exit rc = judge(p, f, &e);
	free(path);
	sb_fini(&body);
	return rc;
}

/* Under its name, where nothing but what may be replaced is. */
static enum cli_exit
put_in_place(const struct pull *p, const struct pulled *f, const char *temp)
{
	const unsigned flags = p->a->force ? 0 : RENAME_NOREPLACE;

	if (renameat2(p->dirfd, temp, p->dirfd, f->name, flags) == 0)
		return CLI_OK;
	/* A file system that knows no such flag. */
	if (errno == EINVAL && flags != 0 && faccessat(p->dirfd, f->name,
	    F_OK, AT_SYMLINK_NOFOLLOW) != 0 && renameat(p->dirfd, temp,
	    p->dirfd, f->name) == 0)
		return CLI_OK;
	return cannot(p, f->name, strerror(errno));
}

/* What has come is what the record says, and on the disk. */
static enum cli_exit
check(const struct pull *p, struct pulled *f, int fd, char hex[RK_SHA256_HEX])
{
	uint64_t size;
	const enum rk_err rk = rk_sha256_of_fd(fd, hex, &size);

	if (rk != RK_OK)
		return cannot(p, f->name, rk_strerror(rk));
	if (*f->sha256 != '\0' && strcmp(hex, f->sha256) != 0) {
		/* The next pull begins anew. */
		(void)!ftruncate(fd, 0);
		fprintf(stderr, "rekindle: %s came with other bytes than its "
		    "record says: sha256 %s, want %s\n", f->name, hex,
		    f->sha256);
		return CLI_REFUSED;
	}
	f->size = size;
	return fsync(fd) == 0 ? CLI_OK : cannot(p, f->name, strerror(errno));
}

static void
say(const struct pull *p, const struct pulled *f, const char *sha256)
{
	must(json_array_append_new(p->said, json_pack("{s:s, s:I, s:s, s:b}",
	    "name", f->name, "size", (json_int_t)f->size, "sha256", sha256,
	    "was_there", f->there)) == 0);
}

static enum cli_exit
pull_file(const struct pull *p, struct pulled *f)
{
	char temp[64], hex[RK_SHA256_HEX] = "";

	temp_name(f, temp);
	int fd = openat(p->dirfd, temp, O_RDWR | O_CREAT | O_CLOEXEC |
	    O_NOFOLLOW, 0666);
	if (fd < 0)
		return cannot(p, f->name, strerror(errno));
	enum cli_exit rc = fetch(p, f, fd);
	if (rc == CLI_OK)
		rc = check(p, f, fd, hex);
	if (rc == CLI_OK)
		rc = put_in_place(p, f, temp);
	/* Only of known bytes it is of use to the next pull. */
	if (rc != CLI_OK && (*f->sha256 == '\0' || size_of(fd) == 0))
		(void)!unlinkat(p->dirfd, temp, 0);
	if (rc == CLI_OK)
		say(p, f, hex);
	rk_close(&fd);
	return rc;
}

/* --- all of them ---------------------------------------------------------- */

/* The record, without what is of today alone: aliases move, evaluations come. */
static enum cli_exit
put_record(const struct pull *p)
{
	static const char *const today[] = { "aliases", "evaluations",
		"deleted", "as_of", "age_seconds", "error" };
	json_t *v = json_copy((json_t *)(uintptr_t)p->record);

	for (size_t i = 0; i < RK_ARRAY_LEN(today); i++)
		(void)json_object_del(v, today[i]);
	char *text = rkj_pretty(v);
	const enum rk_err rk = rk_replace_file(p->dirfd, RECORD, text,
	    strlen(text));

	json_decref(v);
	free(text);
	return rk == RK_OK ? CLI_OK : cannot(p, RECORD, rk_strerror(rk));
}

static void
print(const struct pull *p)
{
	const json_t *f;
	uint64_t all = 0;
	char size[RK_HUMAN];
	size_t i;

	json_array_foreach(p->said, i, f) {
		const double n = cli_num(f, "size", 0);
		all += (uint64_t)n;
		printf("%s/%s  %s%s\n", p->folder, cli_str(f, "name"),
		    rk_human_bytes(size, (uint64_t)n), json_is_true(
		    json_object_get(f, "was_there")) ? ", was there already" :
		    "");
	}
	printf("%s/%s\n%s/%s: %s in %s\n", p->folder, RECORD, p->which.name,
	    p->which.version, rk_human_bytes(size, all), p->folder);
}

static enum cli_exit
pull_all(struct pull *p)
{
	enum cli_exit rc = list_files(p);

	if (rc == CLI_OK)
		rc = open_folder(p);
	if (rc == CLI_OK)
		rc = look_at_folder(p);
	for (size_t i = 0; i < p->n && rc == CLI_OK; i++) {
		if (p->files[i].there)
			say(p, &p->files[i], p->files[i].sha256);
		else
			rc = pull_file(p, &p->files[i]);
	}
	if (rc == CLI_OK)
		rc = put_record(p);
	if (rc == CLI_OK && rk_fsync_dir(p->dirfd) != 0)
		rc = cannot(p, RECORD, strerror(errno));
	return rc;
}

enum cli_exit
models_pull(const struct cli_args *a)
{
	struct pull p = { .a = a, .folder = a->pos[1], .dirfd = -1 };
	struct cli_reply r;

	if (a->format != NULL && file_of_format(a->format) == NULL) {
		fprintf(stderr, "rekindle: --format %s: want safetensors, "
		    "paddle or pytorch\n", a->format);
		return CLI_USAGE;
	}
	enum cli_exit rc = which_parse(&p.which, a->pos[0]);
	if (rc == CLI_OK)
		rc = which_get(a->pos[0], "", &r);
	else
		return rc;
	p.record = r.json;
	p.said = json_array();
	snprintf(p.which.version, sizeof(p.which.version), "%.0f",
	    cli_num(r.json, "version", 0));
	if (rc == CLI_OK)
		rc = pull_all(&p);
	if (rc == CLI_OK && a->json) {
		json_t *o = json_pack("{s:O, s:O, s:s, s:O}", "model",
		    json_object_get(r.json, "model"), "version",
		    json_object_get(r.json, "version"), "folder", p.folder,
		    "files", p.said);
		cli_print_json(o);
		json_decref(o);
	} else if (rc == CLI_OK) {
		print(&p);
	}
	json_decref(p.said);
	rk_close(&p.dirfd);
	cli_reply_fini(&r);
	return rc;
}
