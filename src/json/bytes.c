/* Sizes in bytes, as people write them: 4096, 512MiB, 4GB, 1.5GiB. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/json_shown.h"
#include "impl.h"

/* A single letter means what it means to systemd: a power of 1024. */
static const struct {
	const char *name;
	uint64_t bytes;
} units[] = {
	{ "", 1 }, { "B", 1 },
	{ "K", 1u << 10 }, { "KiB", 1u << 10 }, { "kB", 1000 },
	{ "M", 1u << 20 }, { "MiB", 1u << 20 }, { "MB", 1000000 },
	{ "G", 1u << 30 }, { "GiB", 1u << 30 }, { "GB", 1000000000 },
	{ "T", 1ull << 40 }, { "TiB", 1ull << 40 },
	{ "TB", 1000000000000ull },
	{ "P", 1ull << 50 }, { "PiB", 1ull << 50 },
	{ "PB", 1000000000000000ull },
};

static bool
unit_of(const char *s, uint64_t *bytes)
{
	s += strspn(s, " ");
	for (size_t i = 0; i < RK_ARRAY_LEN(units); i++) {
		if (strcasecmp(s, units[i].name) == 0) {
			*bytes = units[i].bytes;
			return true;
		}
	}
	return false;
}

static bool
parse_bytes(const char *s, uint64_t *out)
{
	size_t whole = strspn(s, "0123456789"), part = 0;
	uint64_t unit;

	if (whole == 0 || whole > 18)
		return false;
	if (s[whole] == '.') {
		part = strspn(s + whole + 1, "0123456789");
		if (part == 0 || part > 18)
			return false;
		part++;
	}
	if (!unit_of(s + whole + part, &unit))
		return false;
	if (part == 0)
		return !__builtin_mul_overflow(strtoull(s, NULL, 10), unit,
		    out);
	/* A fraction of a byte is cut off; 2^63 is beyond any machine. */
	double x = strtod(s, NULL) * (double)unit;
	if (!(x < 0x1p63))
		return false;
	*out = (uint64_t)x;
	return true;
}

bool
rkj_bytes(struct rkj_obj *o, const char *key, uint64_t *out, uint64_t min,
    uint64_t max, int required)
{
	const json_t *v = rkj_any(o, key);
	char lo[RK_HUMAN], hi[RK_HUMAN];
	struct strbuf b = {0};
	uint64_t n;
	bool ok = false;

	if (v == NULL && (!required || o->v == NULL))
		return false;
	if (json_is_integer(v) && json_integer_value(v) >= 0) {
		n = (uint64_t)json_integer_value(v);
		ok = true;
	} else if (json_is_string(v)) {
		ok = parse_bytes(json_string_value(v), &n);
	}
	if (ok && n >= min && n <= max) {
		*out = n;
		return true;
	}
	if (v == NULL)
		sb_adds(&b, "missing");
	else
		rkj_show(&b, v);
	rk_human_bytes(lo, min);
	rk_human_bytes(hi, max);
	if (max >= INT64_MAX)
		rkj_fault(o, key, "is %s, want a size of at least %s, such as "
		    "4096, 512MiB or 4GB", sb_str(&b), lo);
	else
		rkj_fault(o, key, "is %s, want a size of %s to %s, such as "
		    "4096, 512MiB or 4GB", sb_str(&b), lo, hi);
	sb_fini(&b);
	return false;
}
