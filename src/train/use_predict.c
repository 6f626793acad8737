/*
 * The files of data.inputs, sample by sample.
 *
 * What the state has of where the next batch begins:
 *	{input, file, row, listing, passed, content}
 * input and file: of which the next row is (walk.h); row: from 0, or
 * BATCHES_THROUGH where there is none left; listing: a hash of all names;
 * passed: of names and sizes of the files before; content: a digest of the file
 * itself where some of its rows were predicted, else "".
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rekindle/image.h"
#include "use.h"

#define HEAD 16                 /* bytes that tell a picture */

static void
put_hash(json_t *o, const char *key, uint64_t h)
{
	char hex[24];

	snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)h);
	js_put(o, key, json_string(hex));
}

static bool
is_hash(const json_t *o, const char *key, uint64_t h)
{
	const char *s = json_string_value(json_object_get(o, key));
	char hex[24];

	snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)h);
	return s != NULL && strcmp(s, hex) == 0;
}

/* --- what was before ------------------------------------------------------ */

static uint64_t
pass(uint64_t h, const struct walk_file *f)
{
	struct stat st;
	const int64_t size = stat(f->path, &st) == 0 ? (int64_t)st.st_size :
	    -1;

	h = rk_hash64(h, f->name, strlen(f->name) + 1);
	return rk_hash64(h, &size, sizeof(size));
}

/* Of a file that no longer can be read none. */
static void
digest(const char *path, char hex[RK_XXH128_HEX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || rk_digests_of_fd(fd, NULL, hex, NULL) != RK_OK)
		snprintf(hex, RK_XXH128_HEX, "-");
	rk_close(&fd);
}

/* After a batch: here the next begins. */
static bool
flushed(void *ctx)
{
	struct use *u = ctx;
	json_t *at = json_pack("{s:i, s:I, s:I}", "input", u->input, "file",
	    (json_int_t)u->file, "row", (json_int_t)u->p.row);

	must(at != NULL);
	put_hash(at, "listing", u->listing);
	put_hash(at, "passed", u->passed);
	if (u->content[0] == '\0' && u->p.row > 0 && u->input <
	    walk_inputs(&u->walk)) {
		struct walk_file f = walk_file(&u->walk, u->input, u->file);
		digest(f.path, u->content);
		walk_file_fini(&f);
	}
	js_put(at, "content", json_string(u->content));
	json_decref(u->at);
	u->at = at;
	return use_between(u);
}

/* --- how many there are --------------------------------------------------- */

static bool
is_picture(const char *path)
{
	uint8_t head[HEAD];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const ssize_t n = fd >= 0 ? read(fd, head, sizeof(head)) : -1;

	rk_close(&fd);
	return n > 0 && image_kind_of(head, (size_t)n) != IMAGE_UNKNOWN;
}

/* What cannot be read is one line. */
static int64_t
count_file(struct use *u, const struct walk_file *f)
{
	const struct sample_file s = { .path = f->path, .name = f->name };
	struct inputs in = {0};
	int64_t n = 1;

	if (is_picture(f->path))
		return 1;
	if (inputs_open(&in, u->r, &u->p.recipe, &s, NULL) == RK_OK)
		n = in.n;
	inputs_close(&in);
	return n;
}

static bool
count_all(struct use *u)
{
	const struct walk *w = &u->walk;

	for (int i = 0; i < walk_inputs(w); i++) {
		if (w->v[i].is) {
			u->total += walk_files(w, i);
			continue;
		}
		struct walk_file f = walk_file(w, i, 0);
		u->total += count_file(u, &f);
		walk_file_fini(&f);
		if (signals_came())
			return run_fail(u->r, "io", false, "was told to end "
			    "before the samples were counted");
	}
	return true;
}

/* --- going on ------------------------------------------------------------- */

/* To where the state says, as far as there are such files. */
static bool
go_to(struct use *u, int64_t input, int64_t file)
{
	const struct walk *w = &u->walk;

	for (; u->input < walk_inputs(w); u->input++, u->file = 0) {
		for (; u->file < walk_files(w, u->input); u->file++) {
			if (u->input == input && u->file == file)
				return true;
			struct walk_file f = walk_file(w, u->input, u->file);
			u->passed = pass(u->passed, &f);
			walk_file_fini(&f);
		}
	}
	return u->input == input && file == 0;
}

static bool
is_same_file(struct use *u, const json_t *at)
{
	const char *was = json_string_value(json_object_get(at, "content"));
	char is[RK_XXH128_HEX];

	if (was == NULL || was[0] == '\0' || u->input >= walk_inputs(
	    &u->walk))
		return true;
	struct walk_file f = walk_file(&u->walk, u->input, u->file);
	digest(f.path, is);
	const bool same = strcmp(was, is) == 0 || use_changed(u, "%s is "
	    "another than it was when its first %lld rows were predicted",
	    f.name, (long long)u->p.row);
	walk_file_fini(&f);
	return same;
}

static bool
go_on(struct use *u, const json_t *at)
{
	u->p.row = json_integer_value(json_object_get(at, "row"));
	if (!is_hash(at, "listing", u->listing) &&
	    !use_changed(u, "data.inputs names other files, or a folder has "
	    "others"))
		return false;
	if (!go_to(u, json_integer_value(json_object_get(at, "input")),
	    json_integer_value(json_object_get(at, "file"))))
		return use_changed(u, "the file that was read is no longer "
		    "there") && run_fail(u->r, "bad_data", true, "there is "
		    "nothing left of data.inputs to go on with");
	if (!is_hash(at, "passed", u->passed) &&
	    !use_changed(u, "files whose samples were predicted have other "
	    "sizes"))
		return false;
	return is_same_file(u, at);
}

bool
use_predict_open(struct use *u, const json_t *at)
{
	if (!walk_open(u->r, &u->walk))
		return false;
	u->listing = walk_listing(&u->walk);
	if (at != NULL)
		return go_on(u, at);
	return count_all(u);
}

/* --- all of them ---------------------------------------------------------- */

static void
take(void *ctx, json_t *line)
{
	struct use *u = ctx;

	use_counts_add(u, line);
	use_line(u, line);
	json_decref(line);
}

static bool
goes_on(void *ctx)
{
	struct use *u = ctx;

	use_tick(u);
	return !u->r->ask.leave;
}

/* Of a folder in which there are no pictures. */
static bool
refuse_empty(struct use *u, const char *name)
{
	struct rk_why why = {0};

	(void)!rk_refuse(&why, "%s: is a folder without pictures (.jpg, .jpeg, "
	    ".png)", name);
	const bool ok = batches_refuse(u->r, &u->p, name, &why);
	rk_why_fini(&why);
	return ok;
}

static bool
one_file(struct use *u)
{
	struct walk_file f = walk_file(&u->walk, u->input, u->file);
	const struct sample_file s = { .path = f.path, .name = f.name };
	const struct walk_folder *folder = &u->walk.v[u->input];
	bool ok = true;

	if (folder->is && folder->n == 0)
		ok = refuse_empty(u, f.name);
	else if (u->p.row != BATCHES_THROUGH)
		ok = batches_file(u->r, &u->p, &s, u->p.row);
	if (ok) {
		u->passed = pass(u->passed, &f);
		u->content[0] = '\0';
		u->p.row = 0;
	}
	walk_file_fini(&f);
	return ok;
}

bool
use_predict_all(struct use *u)
{
	const struct walk *w = &u->walk;

	u->p.take = take;
	u->p.goes_on = goes_on;
	u->p.flushed = flushed;
	u->p.ctx = u;
	for (; u->input < walk_inputs(w); u->input++, u->file = 0)
		for (; u->file < walk_files(w, u->input); u->file++)
			if (!goes_on(u) || !one_file(u))
				return u->r->fail.reason == NULL;
	batches_flush(u->r, &u->p);
	return u->r->fail.reason == NULL;
}
