/*
 * Shards: see ckpt.h.
 *
 *	trained.safetensors            what changes, new in each checkpoint
 *	frozen-<xxh128>.safetensors    what does not: a hard link to that of an
 *	                               older checkpoint
 *	model.safetensors.index.json   which has what
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"

#define FROZEN_PREFIX "frozen-"
#define FROZEN_END    ".safetensors"

bool
ckpt_is_shared(const struct ckpt_file *f)
{
	const size_t head = strlen(FROZEN_PREFIX);

	return strncmp(f->name, FROZEN_PREFIX, head) == 0 &&
	    strspn(f->name + head, "0123456789abcdef") ==
	    RK_XXH128_HEX - 1 &&
	    strcmp(f->name + head + RK_XXH128_HEX - 1, FROZEN_END) == 0;
}

bool
ckpt_is_of_model(const struct ckpt_file *f)
{
	return ckpt_is_shared(f) || strcmp(f->name, CKPT_MODEL_FILE) == 0 ||
	    strcmp(f->name, CKPT_INDEX_FILE) == 0 ||
	    strcmp(f->name, CKPT_TRAINED_FILE) == 0;
}

bool
ckpt_in_shards(const struct ckpt_info *i)
{
	for (int k = 0; k < i->nfiles; k++)
		if (ckpt_is_shared(&i->files[k]))
			return true;
	return false;
}

/* --- the index ------------------------------------------------------------ */

static void
put_text(struct strbuf *b, const char *s)
{
	json_t *v = json_string(s);
	char *text = v != NULL ? rkj_text(v) : xstrdup("\"\"");

	sb_adds(b, text);
	free(text);
	json_decref(v);
}

/* In the set's order, which rkj_text() would sort. */
static char *
index_text(const struct tensor_set *model, const char *frozen)
{
	struct strbuf b = {0};
	uint64_t total = 0;

	for (size_t i = 0; i < model->n; i++)
		total += model->v[i].nbytes;
	sb_addf(&b, "{\n \"metadata\": {\"total_size\": %llu},\n"
	    " \"weight_map\": {", (unsigned long long)total);
	for (size_t i = 0; i < model->n; i++) {
		sb_adds(&b, i > 0 ? ",\n  " : "\n  ");
		put_text(&b, model->v[i].name);
		sb_adds(&b, ": ");
		put_text(&b, model->v[i].part == CKPT_FROZEN ? frozen :
		    CKPT_TRAINED_FILE);
	}
	sb_adds(&b, "\n }\n}\n");
	return sb_detach(&b);
}

/* --- reading -------------------------------------------------------------- */

/* The sets of a folder's files, by their places in i->files; owned. */
struct parts {
	const struct ckpt_info *i;
	struct tensor_set *v[CKPT_MAX_FILES];
	size_t n;                       /* tensors of all */
};

static enum rk_err
corrupt(struct rk_why *why, const char *file, const char *what)
{
	rk_refuse(why, "%s %s", file, what);
	return RK_ECORRUPT;
}

static enum rk_err
load_file(const char *path, const char *name, struct tensor_set **out,
    struct rk_why *why)
{
	struct rk_why own = {0};
	enum rk_err rc = format_load(path, out, &own);

	if (rc != RK_OK)
		rk_refuse(why, "%s %s", name, rk_why_first(&own));
	rk_why_fini(&own);
	/* Its digest is right, so it was written like this: as useless. */
	return rc == RK_EINVAL ? RK_ECORRUPT : rc;
}

/* A line of the index into `whole`. */
static enum rk_err
add_line(struct parts *p, struct tensor_set *whole, const char *name,
    const char *file, struct rk_why *why)
{
	const struct tensor *t = NULL;
	int k;

	for (k = 0; file != NULL && k < p->i->nfiles; k++)
		if (p->v[k] != NULL && strcmp(p->i->files[k].name, file) == 0)
			break;
	if (file != NULL && k < p->i->nfiles)
		t = tensor_find(p->v[k], name);
	if (t == NULL)
		return corrupt(why, CKPT_INDEX_FILE, "names a tensor that is "
		    "not where it says");
	enum rk_err rc = tensor_set_add(whole, name, t->dtype, t->ndim, t->d,
	    t->data, NULL);
	if (rc == RK_OK)
		whole->v[whole->n - 1].part = ckpt_is_shared(
		    &p->i->files[k]) ? CKPT_FROZEN : CKPT_TRAINED;
	return rc;
}

static enum rk_err
join(struct parts *p, const char *index_path, struct tensor_set *whole,
    struct rk_why *why)
{
	json_t *index = NULL, *file;
	char *text = NULL;
	const char *name;
	size_t len;
	enum rk_err rc = rk_read_file(AT_FDCWD, index_path, CKPT_INDEX_MAX,
	    &text, &len);

	if (rc != RK_OK)
		rk_refuse(why, CKPT_INDEX_FILE ": %s", rk_strerror(rc));
	else if (rkj_parse_json(text, len, &index, NULL) != RK_OK)
		rc = corrupt(why, CKPT_INDEX_FILE, "is no JSON");
	json_object_foreach(json_object_get(index, "weight_map"), name, file) {
		rc = add_line(p, whole, name, json_string_value(file), why);
		if (rc != RK_OK)
			break;
	}
	if (rc == RK_OK && whole->n != p->n)
		rc = corrupt(why, CKPT_INDEX_FILE, "does not name all tensors");
	if (rc == RK_OK && tensor_set_seal(whole, NULL) != RK_OK)
		rc = corrupt(why, CKPT_INDEX_FILE, "names a tensor twice");
	json_decref(index);
	free(text);
	return rc;
}

/* Which file of i it is; -1: none. */
static int
place_of(const struct ckpt_info *i, const char *name)
{
	for (int k = 0; k < i->nfiles; k++)
		if (strcmp(i->files[k].name, name) == 0)
			return k;
	return -1;
}

static enum rk_err
load_shards(const char *const *paths, const struct ckpt_info *i,
    struct tensor_set **out, struct rk_why *why)
{
	const int trained = place_of(i, CKPT_TRAINED_FILE);
	const int index = place_of(i, CKPT_INDEX_FILE);
	struct tensor_set *whole = tensor_set_new();
	struct parts p = { .i = i };
	enum rk_err rc = RK_OK;

	must(trained >= 0 && index >= 0);
	for (int k = 0; k < i->nfiles && rc == RK_OK; k++) {
		if (k != trained && !ckpt_is_shared(&i->files[k]))
			continue;
		rc = load_file(paths[k], i->files[k].name, &p.v[k], why);
		p.n += rc == RK_OK ? p.v[k]->n : 0;
	}
	if (rc == RK_OK) {
		whole->meta = p.v[trained]->meta;
		p.v[trained]->meta = NULL;
		rc = join(&p, paths[index], whole, why);
	}
	for (int k = 0; k < i->nfiles; k++)
		if (p.v[k] != NULL)
			tensor_set_keep(whole, p.v[k]);
	if (rc != RK_OK) {
		tensor_set_free(whole);
		whole = NULL;
	}
	*out = whole;
	return rc;
}

enum rk_err
ckpt_load_model(const char *folder, const struct ckpt_info *i,
    struct tensor_set **out, struct rk_why *why)
{
	char *paths[CKPT_MAX_FILES] = {0};
	enum rk_err rc;

	*out = NULL;
	for (int k = 0; k < i->nfiles; k++)
		paths[k] = xasprintf("%s/%s", folder, i->files[k].name);
	if (ckpt_in_shards(i))
		rc = load_shards((const char *const *)paths, i, out, why);
	else
		rc = load_file(paths[place_of(i, CKPT_MODEL_FILE)],
		    CKPT_MODEL_FILE, out, why);
	for (int k = 0; k < i->nfiles; k++)
		free(paths[k]);
	return rc;
}

static enum rk_err
check_path(const char *path, const struct ckpt_file *f, struct rk_why *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum rk_err rc = fd < 0 ? rk_from_errno(errno) :
	    ckpt_file_sums(fd, f, NULL, why);

	if (fd < 0)
		rk_refuse(why, "%s: %s", f->name, rk_strerror(rc));
	rk_close(&fd);
	return rc;
}

enum rk_err
ckpt_join(const char *const *paths, const struct ckpt_info *i, int fd,
    char sha256[RK_SHA256_HEX], uint64_t *size, struct rk_why *why)
{
	struct tensor_set *whole = NULL;
	enum rk_err rc = RK_OK;

	for (int k = 0; k < i->nfiles && rc == RK_OK; k++)
		if (paths[k] != NULL)
			rc = check_path(paths[k], &i->files[k], why);
	if (rc == RK_OK)
		rc = load_shards(paths, i, &whole, why);
	if (rc == RK_OK)
		rc = format_write(fd, whole, sha256, NULL, size);
	tensor_set_free(whole);
	return rc;
}

/* --- writing -------------------------------------------------------------- */

/* The tensors of one part; their data stay the model's. */
static struct tensor_set *
part_of(const struct tensor_set *model, enum ckpt_part part)
{
	struct tensor_set *s = tensor_set_new();

	for (size_t i = 0; i < model->n; i++) {
		const struct tensor *t = &model->v[i];
		if (t->part == (int)part)
			must(tensor_set_add(s, t->name, t->dtype, t->ndim,
			    t->d, t->data, NULL) == RK_OK);
	}
	return s;
}

/* SHA-256 of one that is linked is made once, not with each checkpoint. */
static void
sum_shared(struct ckpt *c, struct ckpt_file *f, const struct tensor_set *frozen)
{
	if (c->summed.sha256[0] == '\0' || strcmp(c->summed.name, f->name) !=
	    0) {
		c->summed = *f;
		format_digests(frozen, c->summed.sha256, NULL, NULL);
	}
	memcpy(f->sha256, c->summed.sha256, sizeof(f->sha256));
}

static enum rk_err
put_frozen(struct save *s, const struct tensor_set *frozen, bool sha256)
{
	struct ckpt_info *i = s->info;
	struct ckpt_file f = {0};
	struct bad_copy bad = {0};
	enum rk_err rc = RK_OK;

	format_digests(frozen, NULL, f.xxh128, &f.size);
	snprintf(f.name, sizeof(f.name), FROZEN_PREFIX "%s" FROZEN_END,
	    f.xxh128);
	if (shared_link(s->c, s->fd, &f, &bad)) {
		if (sha256)
			sum_shared(s->c, &f, frozen);
		i->files[i->nfiles++] = f;
		i->bytes += f.size;
		i->shared += f.size;
		return RK_OK;
	}
	rc = save_set(s, f.name, frozen, sha256);
	if (rc == RK_OK) {
		shared_is_good(s->c, s->fd, &f);
		(void)shared_mend(s->c, s->fd, &f, &bad);
		s->c->summed = i->files[i->nfiles - 1];
	}
	return rc;
}

bool
is_to_share(const struct tensor_set *model)
{
	for (size_t i = 0; i < model->n; i++)
		if (model->v[i].part == CKPT_FROZEN)
			return true;
	return false;
}

enum rk_err
save_shards(struct save *s, const struct tensor_set *model, bool sha256)
{
	struct tensor_set *trained = part_of(model, CKPT_TRAINED);
	struct tensor_set *frozen = part_of(model, CKPT_FROZEN);
	const struct ckpt_info *i = s->info;

	trained->meta = model->meta;    /* borrowed */
	enum rk_err rc = save_set(s, CKPT_TRAINED_FILE, trained, sha256);
	trained->meta = NULL;
	if (rc == RK_OK)
		rc = put_frozen(s, frozen, sha256);
	if (rc == RK_OK) {
		char *text = index_text(model, i->files[i->nfiles - 1].name);
		rc = save_text(s, CKPT_INDEX_FILE, text, sha256);
		free(text);
	}
	tensor_set_free(trained);
	tensor_set_free(frozen);
	return rc;
}
