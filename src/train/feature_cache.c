/* Features of what is frozen, in place of samples: see feature_cache.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feature_file.h"
#include "feature_cache.h"
#include "feed.h"

#define DIR_NAME "features"
#define SIDES    2
/* Room on the disk that is left to others: checkpoints, and bytes more.  It is
 * looked at when a run begins, and each time so much has been kept. */
#define ROOM_CHECKPOINTS 3
#define ROOM_BYTES       ((uint64_t)64 << 20)
#define LOOK_BYTES       ((uint64_t)16 << 20)

static const char *const side_names[SIDES] = { "train", "validation" };

struct side {
	const struct data_set *d;       /* NULL: samples stand for themselves */
	struct feature_file *file;      /* NULL: features are made each time */
	int64_t most;                   /* samples that may be kept */
	bool full;                      /* no more of them */
	uint64_t *content;              /* what is known of them; 0: not yet.
	                                   NULL: feed_known() has it */
};

struct features {
	struct side side[SIDES];
	char network[RK_SHA256_HEX];    /* nn_features_digest() */
	int64_t floats;                 /* of a sample, at most */
	float *store;                   /* [rows of a batch][floats] */
	bool *there;                    /* [rows of a batch] */
	int64_t *makes;                 /* [nn_features_rows()] of them */
	int64_t rows;                   /* of the batch under way */
	uint64_t unseen;                /* bytes kept since the room was looked
	                                   at */
};

static struct side *
side_of(const struct run *r, const struct data_set *d)
{
	for (int i = 0; d != NULL && r->features != NULL && i < SIDES; i++)
		if (r->features->side[i].d == d)
			return &r->features->side[i];
	return NULL;
}

bool
features_of(const struct run *r, const struct data_set *d)
{
	return side_of(r, d) != NULL;
}

/* --- opening -------------------------------------------------------------- */

static int64_t
rows_of(const struct run *r)
{
	return RK_MAX(r->batch, r->micro);
}

uint64_t
features_bytes(const struct run *r, int64_t floats)
{
	const struct data_set *const sets[SIDES] = { r->train, r->valid };
	uint64_t n;

	if (spec_phase_cache(&r->spec->training, r->phase.index) == 0 ||
	    floats == 0)
		return 0;
	n = (uint64_t)r->batch * ((uint64_t)floats * sizeof(float) +
	    sizeof(bool));
	for (int i = 0; i < SIDES; i++)
		if (sets[i] != NULL && data_knows_content(sets[i]))
			n += (uint64_t)sets[i]->n * sizeof(uint64_t);
	return n;
}

/* How many of n records there may be beside what the others take of `left`. */
static int64_t
most_of(int64_t floats, int64_t n, uint64_t *left)
{
	const uint64_t record = feature_record_bytes(floats);
	const uint64_t room = record == 0 || *left < FEATURE_HEADER ? 0 :
	    (*left - FEATURE_HEADER) / record;
	const int64_t most = (int64_t)RK_MIN(room, (uint64_t)n);

	*left -= most > 0 ? FEATURE_HEADER + (uint64_t)most * record : 0;
	return most;
}

uint64_t
features_disk(const struct run *r, int64_t floats)
{
	const uint64_t max = spec_phase_cache(&r->spec->training,
	    r->phase.index);
	uint64_t left = max;

	if (r->train == NULL || floats == 0)
		return 0;
	(void)most_of(floats, r->train->n, &left);
	if (r->valid != NULL && r->spec->training.ema.decay == 0)
		(void)most_of(floats, r->valid->n, &left);
	return max - left;
}

static void
add_text(struct rk_sha256 *d, json_t *v)
{
	char *text = rkj_text(v);

	rk_sha256_add(d, text, strlen(text) + 1);
	free(text);
	json_decref(v);
}

static void
add_set(struct rk_sha256 *s, const struct data_set *d)
{
	const uint64_t reading = data_reading(d);

	rk_sha256_add(s, d->d, (size_t)d->ndim * sizeof(d->d[0]));
	rk_sha256_add(s, &reading, sizeof(reading));
	if (d->scale != NULL)
		rk_sha256_add(s, d->scale, (size_t)d->nnorm *
		    sizeof(*d->scale));
	if (d->shift != NULL)
		rk_sha256_add(s, d->shift, (size_t)d->nnorm *
		    sizeof(*d->shift));
}

static void
key_of(const struct run *r, int side, const struct data_set *d,
    struct feature_key *k)
{
	struct rk_sha256 *s = rk_sha256_new();
	json_t *job = spec_json(r->spec);

	rk_sha256_add(s, r->features->network, RK_SHA256_HEX);
	rk_sha256_add(s, side_names[side], strlen(side_names[side]) + 1);
	add_text(s, exact_arithmetic(r));
	add_text(s, json_incref(json_object_get(job, "data")));
	add_set(s, d);
	rk_sha256_end(s, k->hex);
	k->samples = d->n;
	k->floats = r->features->floats;
	json_decref(job);
}

static void
open_side(struct run *r, int i, int dir, const struct data_set *d,
    uint64_t *left)
{
	struct side *s = &r->features->side[i];
	struct rk_why why = { 0 };
	struct feature_key k;

	s->d = d;
	if (data_knows_content(d))
		s->content = xcalloc((size_t)d->n, sizeof(*s->content));
	s->most = most_of(r->features->floats, d->n, left);
	if (s->most == 0 || dir < 0)
		return;
	key_of(r, i, d, &k);
	if (feature_file_open(&s->file, dir, side_names[i], &k, &why) != RK_OK)
		report_warning(&r->rep, "features_not_kept", "features of the "
		    "%s samples are computed in each epoch: " DIR_NAME "/%s",
		    side_names[i], rk_why_first(&why));
	rk_why_fini(&why);
}

static int
open_dir(struct run *r)
{
	if (mkdirat(r->dir_fd, DIR_NAME, 0750) != 0 && errno != EEXIST)
		report_warning(&r->rep, "features_not_kept", "features are "
		    "computed in each epoch: " DIR_NAME ": %s",
		    strerror(errno));
	return openat(r->dir_fd, DIR_NAME, O_RDONLY | O_DIRECTORY |
	    O_NOFOLLOW | O_CLOEXEC);
}

static void
remove_files(struct run *r)
{
	int dir = r->dir_fd < 0 ? -1 : openat(r->dir_fd, DIR_NAME, O_RDONLY |
	    O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0)
		return;
	for (int i = 0; i < SIDES; i++)
		(void)unlinkat(dir, side_names[i], 0);
	rk_close(&dir);
	(void)unlinkat(r->dir_fd, DIR_NAME, AT_REMOVEDIR);
}

static void
tell(struct run *r)
{
	const struct features *z = r->features;
	char floats[RK_HUMAN], bytes[RK_HUMAN], n[RK_HUMAN], of[RK_HUMAN];
	int64_t kept = 0, samples = 0;

	for (int i = 0; i < SIDES; i++) {
		kept += z->side[i].most;
		samples += z->side[i].d != NULL ? z->side[i].d->n : 0;
	}
	report_event(&r->rep, "features", "the frozen part of the network "
	    "gives %s number%s for a sample; those of %s of the %s samples are "
	    "kept in " DIR_NAME "/, %s at most", rk_group_digits(floats,
	    z->floats), rk_s(z->floats), rk_group_digits(n, kept),
	    rk_group_digits(of, samples), rk_human_bytes(bytes,
	    (uint64_t)kept * feature_record_bytes(z->floats)));
}

void
features_open(struct run *r)
{
	uint64_t left = spec_phase_cache(&r->spec->training, r->phase.index);
	struct features *z;

	features_close(r, false);
	if (left == 0 || nn_features(r->nn) == 0) {
		remove_files(r);
		return;
	}
	r->features = z = xcalloc(1, sizeof(*z));
	z->floats = nn_features(r->nn);
	nn_features_digest(r->nn, z->network);
	z->there = xcalloc((size_t)rows_of(r), sizeof(*z->there));
	z->makes = xcalloc((size_t)nn_features_rows(r->nn), sizeof(*z->makes));
	z->store = calloc((size_t)rows_of(r), (size_t)z->floats *
	    sizeof(*z->store));
	if (z->store == NULL) {
		report_warning(&r->rep, "features_not_kept", "the system has "
		    "no memory for the features of a batch: nothing is kept");
		features_close(r, false);
		return;
	}
	z->unseen = LOOK_BYTES;
	int dir = open_dir(r);
	open_side(r, 0, dir, r->train, &left);
	if (r->valid != NULL && r->ema == NULL)
		open_side(r, 1, dir, r->valid, &left);
	rk_close(&dir);
	tell(r);
}

void
features_close(struct run *r, bool remove)
{
	struct features *z = r->features;

	if (z != NULL) {
		for (int i = 0; i < SIDES; i++) {
			feature_file_close(z->side[i].file);
			free(z->side[i].content);
		}
		free(z->store);
		free(z->there);
		free(z->makes);
		free(z);
		r->features = NULL;
	}
	if (remove)
		remove_files(r);
}

/* --- reading -------------------------------------------------------------- */

/* What sample i is; 0: nobody has read it yet. */
static uint64_t
content_of(struct run *r, struct side *s, int64_t i)
{
	if (s->content == NULL)
		return feed_known(r, s->d)[i];
	if (s->content[i] == 0)
		s->content[i] = data_content(s->d, i);
	return s->content[i];
}

struct reading {
	struct run *r;
	struct side *s;
};

static void
read_piece(void *ctx, size_t row)
{
	const struct reading *g = ctx;
	struct features *z = g->r->features;
	const int64_t i = g->r->which[row];

	z->there[row] = z->there[row] && feature_file_get(g->s->file, i,
	    content_of(g->r, g->s, i), z->store + (int64_t)row * z->floats);
}

int64_t
features_read(struct run *r, const struct data_set *d, int64_t rows)
{
	struct reading g = { r, side_of(r, d) };
	struct features *z = r->features;
	int64_t missing = 0;

	must(rows <= rows_of(r));
	z->rows = rows;
	for (int64_t i = 0; i < rows; i++)
		z->there[i] = g.s->file != NULL && r->which[i] < g.s->most &&
		    content_of(r, g.s, r->which[i]) != 0;
	kernel_for((size_t)rows, read_piece, &g);
	for (int64_t i = 0; i < rows; i++)
		missing += !z->there[i];
	return missing;
}

/* --- making --------------------------------------------------------------- */

/* Is there room for more than what checkpoints will want? */
static bool
has_room(const struct run *r)
{
	uint64_t room;

	return rk_disk_free(r->dir_fd, &room) != RK_OK || room >= ROOM_BYTES +
	    ROOM_CHECKPOINTS * r->checkpoint_bytes;
}

static enum rk_err
put(struct run *r, struct side *s, int64_t i, uint64_t content,
    const float *v)
{
	struct features *z = r->features;

	z->unseen += feature_record_bytes(z->floats);
	if (z->unseen >= LOOK_BYTES) {
		z->unseen = 0;
		if (!has_room(r))
			return RK_ENOSPC;
	}
	return feature_file_put(s->file, i, content, v);
}

static void
keep(struct run *r, struct side *s, int64_t row)
{
	const struct features *z = r->features;
	const uint8_t *left_out = feed_left_out(r, 0);
	const int64_t i = r->which[row];
	const uint64_t content = content_of(r, s, i);

	if (s->file == NULL || s->full || i >= s->most || content == 0 ||
	    (left_out != NULL && left_out[row]))
		return;
	const enum rk_err rc = put(r, s, i, content, z->store +
	    row * z->floats);
	if (rc == RK_OK)
		return;
	/* What is there is still good. */
	s->full = true;
	report_warning(&r->rep, "features_not_kept", "features of the %s "
	    "samples are computed in each epoch from here on: " DIR_NAME
	    "/%s: %s", side_names[s - z->side], side_names[s - z->side],
	    rk_strerror(rc));
}

/* The samples of these rows, as many as the network takes for it; the last
 * stands in for those that are less. */
static void
make(struct run *r, struct side *s, int64_t n)
{
	const int64_t rows = nn_features_rows(r->nn);
	struct features *z = r->features;
	int64_t *row = z->makes;

	for (int64_t k = n; k < rows; k++)
		row[k] = row[n - 1];
	feed_load_inputs(r, s->d, row, rows);
	nn_forward(r->nn, &(struct nn_step){ .stretch = NN_TO_FEATURES,
	    .rows = rows, .all = rows }, s->d == r->train);
	for (int64_t k = 0; k < n; k++) {
		float *to = z->store + row[k] * z->floats;
		memset(to, 0, (size_t)z->floats * sizeof(*to));
		nn_features_get(r->nn, k, to);
		keep(r, s, row[k]);
	}
}

void
features_make(struct run *r, const struct data_set *d)
{
	const int64_t rows = nn_features_rows(r->nn);
	struct features *z = r->features;
	struct side *s = side_of(r, d);
	int64_t n = 0;

	for (int64_t i = 0; i < z->rows; i++) {
		if (z->there[i])
			continue;
		z->makes[n++] = i;
		if (n == rows) {
			make(r, s, n);
			n = 0;
		}
	}
	if (n > 0)
		make(r, s, n);
}

/* --- using ---------------------------------------------------------------- */

void
features_forward(struct run *r, const struct data_set *d, int64_t from,
    const struct nn_step *s, bool train)
{
	const struct features *z = r->features;
	struct nn_step rest = *s;

	if (!features_of(r, d)) {
		nn_forward(r->nn, s, train);
		return;
	}
	for (int64_t i = 0; i < s->rows; i++)
		nn_features_put(r->nn, train, i, z->store + (from + i) *
		    z->floats);
	rest.stretch = NN_FROM_FEATURES;
	nn_forward(r->nn, &rest, train);
}
