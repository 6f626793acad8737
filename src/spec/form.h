/*
 * form - jobs by table: the fields of ops.def and archs.def.
 *
 * `u` is a struct that the rows describe (a union of them).  Readers leave
 * faults in o->why and defaults where a field is absent or wrong.
 */
#ifndef SPEC_FORM_H
#define SPEC_FORM_H

#include "read.h"

void sp_form_defaults(const struct spec_field *fields, void *u);
void sp_form_read(const struct spec_field *fields, struct rkj_obj *o, void *u);
void sp_form_free(const struct spec_field *fields, void *u);
/* brief: without those of version 2 and later that have their default, for
 * digests. */
void sp_form_put(const struct spec_field *fields, const void *u, bool brief,
    json_t *o);
/* Fields that are of other forms of the table than `mine` (NULL: that is not
 * known, so nothing is refused): "is for conv2d, not for relu". */
void sp_form_refuse_others(const struct spec_form *forms, size_t n,
    const struct spec_form *mine, const char *word, struct rkj_obj *o);
/* Word i of "a|b|c"; the caller frees. */
char *sp_nth_word(const char *words, int i);

/* layers.c: `model.layers`, with its names, inputs and repeats worked out. */
void sp_read_layers(struct spec_model *m, const json_t *v, struct rk_why *why);

#endif
