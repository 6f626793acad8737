/*
 * spec, inside: the blocks of a job, and readers that json.h does not have.
 *
 * Each sp_read_X() sets defaults, reads its block, and puts every fault into
 * why.  A block with faults is left in a state that spec_free() can free and
 * that later cross-checks can look at.
 */
#ifndef SPEC_READ_H
#define SPEC_READ_H

#include "rekindle/json_shown.h"
#include "rekindle/spec.h"

#define SP_MAX_PATH   4096              /* bytes of a file's path */
#define SP_MAX_COUNT  ((int64_t)1 << 40)        /* steps, epochs */
#define SP_MAX_RATE   1e6
#define SP_MAX_SEED   ((int64_t)1 << 53)        /* exact in a JSON number */

void sp_read_model(struct spec_model *m, const json_t *v, struct rk_why *why);
void sp_read_training(struct spec_training *t, const json_t *v,
    struct rk_why *why);
void sp_read_loss(struct spec_loss *l, const json_t *v, struct rk_why *why);
json_t *sp_json_loss(const struct spec_loss *l);
void sp_free_loss(struct spec_loss *l);
void sp_read_optim(struct spec_optim *p, const json_t *v, struct rk_why *why);
void sp_read_schedule(struct spec_schedule *s, const json_t *v,
    const char *path, struct rk_why *why);
/* phases.c */
void sp_read_phases(struct spec_training *t, const json_t *v,
    struct rk_why *why);
void sp_check_phases(const struct spec_training *t, struct rk_why *why);
bool sp_phases_end_open(const struct spec_training *t);
json_t *sp_json_phases(const struct spec_training *t);
void sp_read_rates(struct spec_rates *r, struct rkj_obj *o,
    struct rk_why *why);
json_t *sp_json_rates(const struct spec_rates *r);
void sp_free_rates(struct spec_rates *r);
void sp_read_frozen_norm(enum spec_frozen_norm *n, struct rkj_obj *o);
void sp_put_frozen_norm(json_t *o, enum spec_frozen_norm n);
void sp_free_phases(struct spec_training *t);   /* and training's own rates */
/* warm.c: fields of the model that are about the warm start, and
 * training.warm_start. */
void sp_read_warm(struct spec_warm *w, struct rkj_obj *o, struct rk_why *why);
void sp_put_warm(json_t *o, const struct spec_warm *w);
void sp_free_warm(struct spec_warm *w);
/* grow.c: those of them that are about what grows. */
void sp_read_grow(struct spec_warm *w, struct rkj_obj *o, struct rk_why *why);
void sp_put_grow(json_t *o, const struct spec_warm *w);
void sp_free_grow(struct spec_warm *w);
/* warm.c: of two patterns that fit, does a count before b? */
bool sp_goes_before(const char *a, const char *b);
void sp_read_warm_start(struct spec_training *t, const json_t *v,
    struct rk_why *why);
json_t *sp_json_warm_start(const struct spec_training *t, bool brief);
void sp_read_cache(struct spec_cache *c, const json_t *v, const char *path,
    struct rk_why *why);
void sp_check_cache(const struct spec *s, struct rk_why *why);
json_t *sp_json_cache(const struct spec_cache *c);
/* How much of it there may be is in no digest. */
void sp_drop_cache_bytes(json_t *training);
void sp_read_early(struct spec_early *e, const json_t *v, struct rk_why *why);
json_t *sp_json_early(const struct spec_early *e);
void sp_read_register(struct spec_register *r, const json_t *v,
    struct rk_why *why);
void sp_check_register(const struct spec *s, struct rk_why *why);
json_t *sp_json_register(const struct spec_register *r);
void sp_free_register(struct spec_register *r);
void sp_read_distill(struct spec_distill *d, const json_t *v,
    struct rk_why *why);
void sp_check_distill(const struct spec *s, struct rk_why *why);
json_t *sp_json_distill(const struct spec_distill *d);
void sp_read_data(struct spec_data *d, const json_t *v, struct rk_why *why);
void sp_read_source(struct spec_source *s, const json_t *v, const char *path,
    struct rk_why *why);
/* One of its fields that is a path or an address. */
void sp_read_path(struct rkj_obj *o, const char *key, char **out,
    int required);
/* One of a list, whose key is "path[1]"; false: there is no text. */
bool sp_read_listed(struct rkj_obj *o, const json_t *v, const char *key,
    char **out);
/* The field `shape`. */
void sp_read_shape(struct spec_source *s, struct rkj_obj *o);
json_t *sp_json_shape(const struct spec_source *s);
/* array.c: npy and npz. */
void sp_read_array(struct spec_source *s, struct rkj_obj *o);
void sp_put_array(json_t *o, const struct spec_source *s);
/* source.c, of csv and text. */
void sp_read_header(struct spec_source *s, struct rkj_obj *o);
void sp_read_delimiter(struct spec_source *s, struct rkj_obj *o);
/* text_data.c: a column by its name or number; the source text; validation as
 * it is read, with what training says (a new reference), and that it is the
 * same. */
void sp_read_column(struct rkj_obj *o, const char *key, const char *what,
    char **name, int64_t *index, int required);
void sp_read_text(struct spec_source *s, struct rkj_obj *o,
    struct rk_why *why);
void sp_put_text(json_t *o, const struct spec_source *s);
void sp_free_text(struct spec_text *t);
json_t *sp_text_fill(const json_t *train, const json_t *valid);
void sp_text_same(struct rkj_obj *o, const struct spec_source *train,
    const struct spec_source *valid);
/* image_folder.c: a source, and what is said of how data are loaded. */
void sp_read_image_folder(struct spec_source *s, struct rkj_obj *o);
void sp_put_image_folder(json_t *o, const struct spec_source *s);
void sp_image_folder_as(struct spec_source *valid,
    const struct spec_source *train, const json_t *said);
void sp_read_loading(struct spec_data *d, struct rkj_obj *o);
void sp_put_loading(json_t *o, const struct spec_data *d);
void sp_drop_loading(json_t *data);
/*
 * data.transforms.  What is then data.normalize: the field itself (`said`,
 * which may be NULL) or the one that stands in a list, with its path; v (NULL:
 * none) and path are the caller's.
 */
struct sp_normalize {
	json_t *v;
	char *path;
};
void sp_read_transforms(struct spec_data *d, const json_t *v,
    const json_t *said, struct sp_normalize *norm, struct rk_why *why);
json_t *sp_json_transforms(const struct spec_data *d);
void sp_read_checkpoint(struct spec_checkpoint *c, const json_t *v,
    struct rk_why *why);
/* use.c: jobs that use a model. */
void sp_read_kind(struct spec *s, struct rkj_obj *o);
void sp_read_report(struct spec *s, const json_t *v, struct rkj_obj *o);
json_t *sp_use_training(const json_t *said);
void sp_read_inputs(struct spec_data *d, struct rkj_obj *o);
void sp_read_input(struct spec_data *d, struct rkj_obj *in);
void sp_put_use(json_t *o, const struct spec_data *d);
void sp_check_use(const struct spec *s, struct rk_why *why);
/* Take out of a normal form what counts for nothing in a job of this kind. */
void sp_keep_used(json_t *job, enum spec_job kind);

/* What one block must mean to another, of those that had no fault themselves;
 * also the defaults that follow from other blocks. */
enum { SP_MODEL = 1, SP_TRAINING = 2, SP_DATA = 4, SP_CHECKPOINT = 8 };
void sp_check_across(struct spec *s, const json_t *tree, unsigned sound,
    struct rk_why *why);

/* early.c: is more of this metric better?  A fault where the job will not have
 * it; and what training.early_stopping leaves to what else the job says. */
bool sp_metric_grows(const char *metric);
void sp_check_metric(const struct spec *s, const char *path,
    const char *metric, struct rk_why *why);
void sp_check_early(struct spec *s, struct rk_why *why);

/* An address of spec_is_address(): can it be one?  Its scheme is then in lower
 * case. */
enum rk_err sp_check_address(char *text, struct rk_why *why) RK_MUSTCHECK;
/* The same of a version of a model, spec_is_version(). */
enum rk_err sp_check_version(char *text, struct rk_why *why) RK_MUSTCHECK;
/* training.warm_start: beside, of a job that has been read. */
void sp_find_beside(struct spec *s);
/* Where checkpoints are sent: into its normal form. */
enum rk_err sp_prefix(char **text, struct rk_why *why) RK_MUSTCHECK;

/* Set a field; takes v. */
void sp_put(json_t *o, const char *key, json_t *v);
/* groups.c: training.parameters and optimizer.no_decay, which are lists. */
void sp_read_groups(struct spec_training *t, const json_t *parameters,
    const json_t *no_decay, struct rk_why *why);
json_t *sp_json_groups(const struct spec_training *t);
json_t *sp_json_no_decay(const struct spec_training *t);
void sp_free_groups(struct spec_training *t);
bool sp_pattern_ok(const char *s, size_t len);

void sp_free_model(struct spec_model *m);
void sp_free_data(struct spec_data *d);
void sp_free_source(struct spec_source *s);

/* brief: as digests and records have it, see form.h. */
json_t *sp_json_model(const struct spec_model *m, bool brief);
json_t *sp_json_training(const struct spec_training *t, bool brief);
json_t *sp_json_data(const struct spec *s);
json_t *sp_json_source(const struct spec_source *s);
json_t *sp_json_checkpoint(const struct spec_checkpoint *c);

extern const char *const sp_loss_words[];
extern const char *const sp_source_words[];
extern const char *const sp_metric_words[];
extern const char *const sp_mode_words[];

/* override.c: a fault for each field that differs and may not change on a
 * resume; `changed` (NULL: not wanted) gets {path: [old, new]} of all. */
void sp_compare(const json_t *before, const json_t *after, json_t *changed,
    struct rk_why *why);
/* The same for numbers of the optimiser that decide what state there is. */
void sp_check_state(const struct spec_optim *a, const struct spec_optim *b,
    struct rk_why *why);
/* And of the average: was there one, and will there be one? */
void sp_check_ema(bool was, bool is, struct rk_why *why);
/* record.c: does this stand for a value that was too long? */
bool sp_is_shortened(const json_t *v);

/* Move own's faults into why (which may be NULL), and free own.  RK_EINVAL if
 * there were any. */
enum rk_err sp_hand_over(struct rk_why *own, struct rk_why *why);

/* --- readers ------------------------------------------------------------- */

/* A value as a person would write it, cut short: json_shown.h. */
#define SP_SHOWN RKJ_SHOWN_MAX
const char *sp_shown(const json_t *v, char out[SP_SHOWN]);

/*
 * Open an object; v may be NULL (absent): the object is then open on nothing.
 * _typed: the word alone stands for {type: word}.  Close with sp_close(), which
 * also answers foreign names ("lr") with ours.
 */
struct sp_obj {
	struct rkj_obj o;
	json_t *made;                   /* {type: word}, ours */
};
void sp_open(struct sp_obj *s, const json_t *v, const char *path,
    struct rk_why *why);
void sp_open_typed(struct sp_obj *s, const json_t *v, const char *path,
    struct rk_why *why);
void sp_close(struct sp_obj *s);

/*
 * Whether a field that only some types take may be read.  False, with a fault,
 * when the field is given and `applies` is not so; `of` names those that take
 * it: "is for sgd and rmsprop, not for adam".
 */
bool sp_takes(struct rkj_obj *o, const char *key, bool applies, const char *of,
    const char *not_for);

/* A number with open or closed ends; `want` says which: "a number above 0". */
#define SP_ABOVE SPEC_ABOVE
#define SP_BELOW SPEC_BELOW
bool sp_real(struct rkj_obj *o, const char *key, double *out, double lo,
    double hi, int open, const char *want);
/* The same for one value of a list. */
bool sp_real_value(const json_t *v, const char *path, double *out, double lo,
    double hi, int open, const char *want, struct rk_why *why);

/* An integer of a list. */
bool sp_int_value(const json_t *v, const char *path, int64_t *out, int64_t lo,
    int64_t hi, struct rk_why *why);

/* A list of min to max integers lo to hi; *n is left alone when it is wrong. */
bool sp_ints(struct rkj_obj *o, const char *key, int64_t *out, int *n, int min,
    int max, int64_t lo, int64_t hi, int required);

/* parse.c: spec_parse_text() of a text of any length. */
enum rk_err sp_parse_text(const char *s, size_t len, bool yaml,
    struct spec **sp, struct rk_why *why);

/* A number or [height, width]. */
bool sp_pair(struct rkj_obj *o, const char *key, int out[2], int lo, int hi,
    int required);

/*
 * One of two fields with the same meaning, in steps (key) or epochs (key2).
 * *out and *epochs are left alone when neither is given; both is a fault.
 */
bool sp_either(struct rkj_obj *o, const char *key, const char *key2,
    int64_t *out, bool *epochs, int64_t lo, int64_t hi, int required);

/* An object of short texts (labels, metadata) as a new tree of strings; whole
 * numbers, true and false become text. */
json_t *sp_texts(struct rkj_obj *o, const char *key, size_t max_entries,
    size_t max_value, bool strict);

#endif
