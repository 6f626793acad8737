/*
 * proto - a message of protocol buffers, field by field
 * (https://protobuf.dev/programming-guides/encoding/).  Nothing is allocated
 * and nothing recurses: a field of bytes is a run that may be a message again.
 *
 *	struct proto m = { p, end };
 *	while (proto_next(&m, &f))
 *		...
 *	if (m.bad) it is none
 */
#ifndef REKINDLE_FORMAT_PROTO_H
#define REKINDLE_FORMAT_PROTO_H

#include "rekindle/base.h"

struct proto {
	const uint8_t *p, *end;
	bool bad;
};

struct proto_field {
	uint64_t number;                /* which field */
	bool is_bytes;                  /* else a number: */
	uint64_t v;                     /* varint, 4 or 8 bytes */
	const uint8_t *p;               /* the bytes, so many */
	size_t n;
};

/* False at the end, and where it is no message: then bad is set. */
bool proto_next(struct proto *m, struct proto_field *f);
/* The fields of a field. */
struct proto proto_inside(const struct proto_field *f);

#endif
