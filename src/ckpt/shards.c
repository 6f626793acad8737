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
load_file(const char *folder, const char *name, struct tensor_set **out,
    struct rk_why *why)
{
	struct rk_why own = {0};
	char *path = xasprintf("%s/%s", folder, name);
	enum rk_err rc = format_load(path, out, &own);

	free(path);
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
join(struct parts *p, const char *folder, struct tensor_set *whole,
    struct rk_why *why)
{
	char *text = NULL, *path = xasprintf("%s/" CKPT_INDEX_FILE, folder);
	json_t *index = NULL, *file;
	const char *name;
	size_t len;
	enum rk_err rc = rk_read_file(AT_FDCWD, path, CKPT_INDEX_MAX, &text,
	    &len);

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
	free(path);
	return rc;
}

static enum rk_err
load_shards(const char *folder, const struct ckpt_info *i,
    struct tensor_set **out, struct rk_why *why)
{
	struct tensor_set *whole = tensor_set_new();
	struct parts p = { .i = i };
	enum rk_err rc = RK_OK;

	for (int k = 0; k < i->nfiles && rc == RK_OK; k++) {
		const bool trained = strcmp(i->files[k].name,
		    CKPT_TRAINED_FILE) == 0;
		if (!trained && !ckpt_is_shared(&i->files[k]))
			continue;
		rc = load_file(folder, i->files[k].name, &p.v[k], why);
		if (rc != RK_OK)
			break;
		p.n += p.v[k]->n;
		if (trained) {
			whole->meta = p.v[k]->meta;
			p.v[k]->meta = NULL;
		}
	}
	if (rc == RK_OK)
		rc = join(&p, folder, whole, why);
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
	*out = NULL;
	return ckpt_in_shards(i) ? load_shards(folder, i, out, why) :
	    load_file(folder, CKPT_MODEL_FILE, out, why);
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
