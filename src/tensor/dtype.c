/* The element types: their names and sizes, and their values as float32. */
#include <math.h>
#include <string.h>

#include "rekindle/tensor.h"

static const struct {
	const char *name;
	unsigned bits;
} types[DT_COUNT] = {
	[DT_BOOL] = { "BOOL", 8 },
	[DT_F4] = { "F4", 4 },
	[DT_F6_E2M3] = { "F6_E2M3", 6 },
	[DT_F6_E3M2] = { "F6_E3M2", 6 },
	[DT_U8] = { "U8", 8 },
	[DT_I8] = { "I8", 8 },
	[DT_F8_E5M2] = { "F8_E5M2", 8 },
	[DT_F8_E4M3] = { "F8_E4M3", 8 },
	[DT_F8_E8M0] = { "F8_E8M0", 8 },
	[DT_F8_E4M3FNUZ] = { "F8_E4M3FNUZ", 8 },
	[DT_F8_E5M2FNUZ] = { "F8_E5M2FNUZ", 8 },
	[DT_I16] = { "I16", 16 },
	[DT_U16] = { "U16", 16 },
	[DT_F16] = { "F16", 16 },
	[DT_BF16] = { "BF16", 16 },
	[DT_I32] = { "I32", 32 },
	[DT_U32] = { "U32", 32 },
	[DT_F32] = { "F32", 32 },
	[DT_C64] = { "C64", 64 },
	[DT_F64] = { "F64", 64 },
	[DT_I64] = { "I64", 64 },
	[DT_U64] = { "U64", 64 },
	[DT_C128] = { "C128", 128 },
};

const char *
dtype_name(enum dtype t)
{
	must((unsigned)t < DT_COUNT);
	return types[t].name;
}

unsigned
dtype_bits(enum dtype t)
{
	must((unsigned)t < DT_COUNT);
	return types[t].bits;
}

bool
dtype_from_name(const char *s, size_t len, enum dtype *out)
{
	for (int i = 0; i < DT_C128; i++) {
		if (strlen(types[i].name) == len &&
		    memcmp(types[i].name, s, len) == 0) {
			*out = (enum dtype)i;
			return true;
		}
	}
	return false;
}

static float
from_bits(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
static float
from_f16(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16;
	uint32_t exp = h >> 10 & 31, frac = h & 0x3ff;

	if (exp == 31)
		return from_bits(sign | 0x7f800000 | frac << 13);
	if (exp == 0) {
		/* Subnormal: frac * 2^-24, exact in float32. */
		float f = (float)frac * 0x1p-24f;
		return sign ? -f : f;
	}
	return from_bits(sign | (exp + 112) << 23 | frac << 13);
}

/* Data in a file lie anywhere, so each element is copied out of it. */
#define CONVERT(type, expr)                                               \
	for (size_t i = 0; i < n; i++) {                                  \
		type x;                                                   \
		memcpy(&x, p + i * sizeof(x), sizeof(x));                 \
		out[i] = (float)(expr);                                   \
	}                                                                 \
	return RK_OK

enum rk_err
tensor_to_f32(const struct tensor *t, float *out)
{
	const char *p = t->data;
	const size_t n = tensor_count(t);

	switch (t->dtype) {
	case DT_F32:
		if (n > 0)
			memcpy(out, p, n * sizeof(*out));
		return RK_OK;
	case DT_F16:
		CONVERT(uint16_t, from_f16(x));
	case DT_BF16:
		CONVERT(uint16_t, from_bits((uint32_t)x << 16));
	case DT_F64:
		CONVERT(double, x);
	case DT_I8:
		CONVERT(int8_t, x);
	case DT_U8:
		CONVERT(uint8_t, x);
	case DT_I16:
		CONVERT(int16_t, x);
	case DT_U16:
		CONVERT(uint16_t, x);
	case DT_I32:
		CONVERT(int32_t, x);
	case DT_U32:
		CONVERT(uint32_t, x);
	case DT_I64:
		CONVERT(int64_t, x);
	case DT_U64:
		CONVERT(uint64_t, x);
	default:
		return RK_EINVAL;
	}
}
