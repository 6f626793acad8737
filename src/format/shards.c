/*
 * The index of a model in several safetensors files, as Hugging Face's
 * libraries write it (model.safetensors.index.json):
 *
 *	{"metadata": {"total_size": 16},
 *	 "weight_map": {"a": "model-00001-of-00002.safetensors", ...}}
 *
 * A tensor is in the file that the map names for it, and that lies beside the
 * index: its name is a plain one.  total_size is what writers say about it, and
 * they do not agree on what to count, so that it is compared and no more.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"
#include "scan.h"
#include "weights_make.h"

#define SHARDS_MAX    4096u
#define SHARD_NAME    255

struct shard {
	const char *name;
	const uint8_t *p;               /* NULL: not open yet */
	size_t first;                   /* of its tensors in w */
};

/* A line of the map. */
struct place {
	const char *tensor;
	uint32_t shard;
	size_t at;
};

struct shards {
	struct weights *w;
	struct scan scan;
	struct place *v;
	size_t n;
	struct shard *shard;
	size_t nshards;
	struct shard **by_name;         /* sorted */
	bool has_map, has_total;
	uint64_t total;
	enum rk_err rc;
	struct rk_why *why;
};

static bool
full(struct shards *s)
{
	s->rc = arena_full(s->why);
	return false;
}

/* --- the text ---------------------------------------------------------------- */

/* Of the scanner's text, with a NUL behind; NULL after a refusal. */
static char *
take_text(struct shards *s, size_t most, const char *what)
{
	struct scan_text t;

	if (!scan_string(&s->scan, &t))
		return NULL;
	if (t.n > 6 * most) {
		scan_fail(&s->scan, what);
		return NULL;
	}
	char *out = arena_get(&s->w->inside->arena, t.n + 1);
	if (out == NULL) {
		full(s);
		return NULL;
	}
	const size_t n = scan_unescape(&t, out, t.n);
	if (n > most || n == 0 || memchr(out, '\0', n) != NULL) {
		scan_fail(&s->scan, what);
		return NULL;
	}
	out[n] = '\0';
	return out;
}

/* A name that stays in the folder. */
static bool
is_plain(const char *name)
{
	return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL &&
	    strchr(name, '\\') == NULL;
}

/* Where in by_name it is, or has its place. */
static size_t
find_shard(const struct shards *s, const char *name, bool *found)
{
	size_t lo = 0, hi = s->nshards;

	*found = false;
	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;
		const int c = strcmp(name, s->by_name[mid]->name);
		if (c == 0) {
			*found = true;
			return mid;
		}
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static bool
add_shard(struct shards *s, const char *tensor, const char *name,
    uint32_t *out)
{
	bool found;

	if (!is_plain(name)) {
		rk_refuse_at(s->why, tensor, "the index says that it is in "
		    "\"%s\", which is not the name of a file beside the index",
		    name);
		return false;
	}
	const size_t at = find_shard(s, name, &found);
	if (!found && s->nshards == SHARDS_MAX) {
		rk_refuse(s->why, "the index names more than %u files",
		    SHARDS_MAX);
		return false;
	}
	if (!found) {
		memmove(&s->by_name[at + 1], &s->by_name[at],
		    (s->nshards - at) * sizeof(*s->by_name));
		s->by_name[at] = &s->shard[s->nshards++];
		s->by_name[at]->name = name;
	}
	*out = (uint32_t)(s->by_name[at] - s->shard);
	return true;
}

static bool
read_pair(struct shards *s)
{
	uint32_t shard;

	char *tensor = take_text(s, TENSOR_NAME_MAX, "a tensor's name of 1 to "
	    "512 bytes");
	if (tensor == NULL || !scan_take(&s->scan, ':'))
		return false;
	if (scan_peek(&s->scan) != '"')
		return scan_fail(&s->scan, "the name of a file");
	char *name = take_text(s, SHARD_NAME, "a file's name of 1 to 255 "
	    "bytes");
	if (name == NULL || !add_shard(s, tensor, name, &shard))
		return false;
	if (s->n == WEIGHTS_TENSORS)
		return scan_fail(&s->scan, "at most 1000000 tensors");
	if (!arena_grow(&s->w->inside->arena, &s->v, s->n, sizeof(*s->v)))
		return full(s);
	s->v[s->n++] = (struct place){ tensor, shard, 0 };
	return true;
}

static bool
read_map(struct shards *s)
{
	if (s->has_map)
		return scan_fail(&s->scan, "weight_map only once");
	s->has_map = true;
	if (!scan_take(&s->scan, '{'))
		return false;
	if (scan_try(&s->scan, '}'))
		return true;
	do {
		if (!read_pair(s))
			return false;
	} while (scan_try(&s->scan, ','));
	return scan_take(&s->scan, '}');
}

/* Of metadata, total_size where it is a whole number; others are passed
 * over. */
static bool
read_metadata(struct shards *s)
{
	struct scan_text key;

	if (!scan_try(&s->scan, '{'))
		return scan_skip(&s->scan);
	if (scan_try(&s->scan, '}'))
		return true;
	do {
		if (!scan_string(&s->scan, &key) || !scan_take(&s->scan, ':'))
			return false;
		struct scan ahead = s->scan;
		ahead.why = NULL;
		if (scan_text_is(&key, "total_size") &&
		    scan_u64(&ahead, &s->total)) {
			s->has_total = true;
			s->scan.at = ahead.at;
		} else if (!scan_skip(&s->scan)) {
			return false;
		}
	} while (scan_try(&s->scan, ','));
	return scan_take(&s->scan, '}');
}

static bool
read_index(struct shards *s)
{
	struct scan_text key;
	bool ok;

	const size_t bad = rk_utf8_good(s->scan.p, s->scan.n);
	if (bad < s->scan.n) {
		s->scan.at = bad;
		return scan_fail(&s->scan, "UTF-8");
	}
	if (!scan_take(&s->scan, '{'))
		return false;
	if (scan_try(&s->scan, '}'))
		return scan_end(&s->scan);
	do {
		if (!scan_string(&s->scan, &key) || !scan_take(&s->scan, ':'))
			return false;
		if (scan_text_is(&key, "weight_map"))
			ok = read_map(s);
		else if (scan_text_is(&key, "metadata"))
			ok = read_metadata(s);
		else
			ok = scan_skip(&s->scan);
		if (!ok)
			return false;
	} while (scan_try(&s->scan, ','));
	return scan_take(&s->scan, '}') && scan_end(&s->scan);
}

/* --- the files ---------------------------------------------------------------- */

/* What is wrong with a file, behind its name. */
static enum rk_err
bad_shard(struct shards *s, const struct shard *f, enum rk_err rc,
    const struct rk_why *why)
{
	if (rc == RK_ENOENT)
		return rk_refuse(s->why, "the index names %s, which is not "
		    "beside it: all files of the model are wanted", f->name);
	rk_refuse(s->why, "%s%s%s", f->p == NULL ? "" : f->name,
	    f->p == NULL ? "" : ": ", rk_why_first(why));
	return rc;
}

/* PyTorch's and Paddle's models in several files have an index that looks the
 * same. */
static enum rk_err
is_safetensors(const uint8_t *p, size_t n, struct rk_why *why)
{
	if (safetensors_looks_like(p, n))
		return RK_OK;
	if (!weights_looks_torch_zip(p, n) && !weights_looks_torch_legacy(p,
	    n) && !weights_looks_paddle(p, n))
		return format_refuse(p, n, why);
	return rk_refuse(why, "is no safetensors file, and a model in several "
	    "files is read in that form alone: save it again with "
	    "safe_serialization=True, or convert each file");
}

/* All tensors of a file, and what the first says beside them. */
static enum rk_err
open_shard(struct shards *s, struct shard *f)
{
	const size_t values = s->w->nvalues;
	struct rk_why why = {0};
	const uint8_t *p = NULL;
	size_t n = 0;
	enum rk_err rc = weights_map_beside(s->w, f->name, &p, &n, &why);

	f->first = s->w->n;
	if (rc == RK_OK) {
		f->p = p;
		rc = is_safetensors(p, n, &why);
	}
	if (rc == RK_OK)
		rc = weights_add_safetensors(s->w, p, n, &why);
	if (rc != RK_OK)
		rc = bad_shard(s, f, rc, &why);
	else if (f != s->shard)
		s->w->nvalues = values;
	rk_why_fini(&why);
	return rc;
}

/* --- the map against the files -------------------------------------------------- */

static int
by_tensor(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	const int c = strcmp(x->tensor, y->tensor);

	return c != 0 ? c : (x->shard > y->shard) - (x->shard < y->shard);
}

/* What the files have, as the map has it, sorted; at: the tensor's place in
 * w. */
static struct place *
sort_files(const struct shards *s)
{
	struct place *v = arena_array(&s->w->inside->arena, s->w->n + 1,
	    sizeof(*v));
	uint32_t shard = 0;

	for (size_t i = 0; v != NULL && i < s->w->n; i++) {
		while (shard + 1 < s->nshards && i >= s->shard[shard + 1].first)
			shard++;
		v[i] = (struct place){ s->w->v[i].name, shard, i };
	}
	if (v != NULL)
		qsort(v, s->w->n, sizeof(*v), by_tensor);
	return v;
}

static enum rk_err
not_there(const struct shards *s, const struct place *want,
    const struct place *have, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(have[i].tensor, want->tensor) == 0)
			return rk_refuse_at(s->why, want->tensor, "the index "
			    "says that it is in %s, but it is in %s",
			    s->shard[want->shard].name,
			    s->shard[have[i].shard].name);
	return rk_refuse_at(s->why, want->tensor, "the index says that it is in "
	    "%s, but that file does not have it", s->shard[want->shard].name);
}

/* Keep the tensors that the map has, in their order. */
static enum rk_err
keep_mapped(struct shards *s)
{
	struct weights *w = s->w;
	const size_t all = w->n;
	struct place *have = sort_files(s);
	bool *keep = arena_array(&w->inside->arena, all + 1, sizeof(*keep));

	if (have == NULL || keep == NULL)
		return arena_full(s->why);
	for (size_t i = 0; i < s->n; i++) {
		const struct place *p = all == 0 ? NULL : bsearch(&s->v[i],
		    have, all, sizeof(*have), by_tensor);
		if (p == NULL)
			return not_there(s, &s->v[i], have, all);
		if (keep[p->at])
			return rk_refuse_at(s->why, p->tensor,
			    "is in the index twice");
		keep[p->at] = true;
	}
	w->n = 0;
	for (size_t i = 0; i < all; i++)
		if (keep[i])
			w->v[w->n++] = w->v[i];
	if (w->n < all)
		weights_note(w, "%zu tensor%s of its files %s not in the index, "
		    "and left out", all - w->n, rk_s((int64_t)(all - w->n)),
		    all - w->n == 1 ? "is" : "are");
	return RK_OK;
}

static enum rk_err
open_shards(struct shards *s)
{
	uint64_t bytes = 0;
	enum rk_err rc = RK_OK;

	for (size_t i = 0; i < s->nshards && rc == RK_OK; i++)
		rc = open_shard(s, &s->shard[i]);
	if (rc == RK_OK)
		rc = keep_mapped(s);
	if (rc != RK_OK)
		return rc;
	for (size_t i = 0; i < s->w->n; i++)
		bytes += s->w->v[i].bytes;
	if (s->has_total && s->total != bytes)
		weights_note(s->w, "the index says that there are %llu bytes of "
		    "tensors, there are %llu", (unsigned long long)s->total,
		    (unsigned long long)bytes);
	return weights_one_part(s->w, s->why);
}

bool
weights_looks_index(const uint8_t *p, size_t n)
{
	struct scan s = { .p = p, .n = n };

	return scan_peek(&s) == '{' &&
	    memmem(p, n, "\"weight_map\"", 12) != NULL;
}

enum rk_err
weights_read_index(struct weights *w, struct rk_why *why)
{
	struct shards s = { .w = w, .why = why, .rc = RK_EINVAL,
	    .scan = { .p = w->inside->p, .n = w->inside->n, .why = why } };

	s.shard = arena_array(&w->inside->arena, SHARDS_MAX,
	    sizeof(*s.shard));
	s.by_name = arena_array(&w->inside->arena, SHARDS_MAX,
	    sizeof(*s.by_name));
	if (s.shard == NULL || s.by_name == NULL)
		return arena_full(why);
	if (!read_index(&s))
		return s.rc;
	if (!s.has_map)
		return rk_refuse(why, "is JSON without a weight_map, and no "
		    "index of a model in several files");
	return open_shards(&s);
}
