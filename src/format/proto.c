/* Protocol buffers, see proto.h. */
#include "impl.h"
#include "proto.h"

static bool
stop(struct proto *m)
{
	m->bad = true;
	return false;
}

/* 1 to 10 bytes of seven bits, the least significant first. */
static bool
varint(struct proto *m, uint64_t *out)
{
	uint64_t v = 0;

	for (int shift = 0; shift < 70 && m->p < m->end; shift += 7) {
		const uint8_t c = *m->p++;
		if (shift == 63 && c > 1)
			return stop(m);
		v |= (uint64_t)(c & 0x7f) << shift;
		if ((c & 0x80) == 0) {
			*out = v;
			return true;
		}
	}
	return stop(m);
}

static bool
run(struct proto *m, uint64_t n, struct proto_field *f)
{
	if (n > (uint64_t)(m->end - m->p))
		return stop(m);
	f->p = m->p;
	f->n = (size_t)n;
	m->p += n;
	return true;
}

bool
proto_next(struct proto *m, struct proto_field *f)
{
	uint64_t key, n;

	*f = (struct proto_field){ 0 };
	if (m->bad || m->p == m->end || !varint(m, &key))
		return false;
	f->number = key >> 3;
	if (f->number == 0)
		return stop(m);
	switch (key & 7) {
	case 0:
		return varint(m, &f->v);
	case 1:
		if (!run(m, 8, f))
			return false;
		f->v = format_le64(f->p);
		return true;
	case 2:
		f->is_bytes = true;
		return varint(m, &n) && run(m, n, f);
	case 5:
		if (!run(m, 4, f))
			return false;
		f->v = format_le32(f->p);
		return true;
	default:
		return stop(m);         /* groups, and what is none */
	}
}

struct proto
proto_inside(const struct proto_field *f)
{
	/* A field without bytes has no place. */
	const uint8_t *p = f->p != NULL ? f->p : (const uint8_t *)"";

	return (struct proto){ p, p + f->n, false };
}
