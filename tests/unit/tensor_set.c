/* Types, shapes, and sets of named tensors. */
#include "rekindle/tensor.h"
#include "t.h"

static enum rk_err
add(struct tensor_set *s, const char *name, enum dtype dt, int ndim,
    const int64_t *d, struct rk_why *why)
{
	return tensor_set_add(s, name, dt, ndim, d, NULL, why);
}

T_CASE(every_type_is_found_by_its_name)
{
	enum dtype t;

	for (int i = 0; i < DT_C128; i++) {
		const char *s = dtype_name((enum dtype)i);
		t_check(dtype_from_name(s, strlen(s), &t));
		t_eq_int(t, i);
	}
	t_check(!dtype_from_name("C128", 4, &t));
	t_check(!dtype_from_name("f32", 3, &t));
	t_check(!dtype_from_name("F32X", 4, &t));
	t_check(!dtype_from_name("", 0, &t));
	t_eq_int(dtype_bits(DT_C64), 64);
	t_eq_int(dtype_bits(DT_F6_E3M2), 6);
}

T_CASE(a_scalar_has_one_element_and_an_empty_tensor_none)
{
	struct tensor_set *s = tensor_set_new();

	t_eq_int(add(s, "s", DT_F32, 0, NULL, NULL), RK_OK);
	t_eq_int(add(s, "e", DT_F32, 2, (int64_t[]){ 3, 0 }, NULL), RK_OK);
	t_eq_int(add(s, "m", DT_F64, 2, (int64_t[]){ 3, 4 }, NULL), RK_OK);
	t_eq_int(tensor_set_seal(s, NULL), RK_OK);
	t_eq_int(tensor_count(tensor_find(s, "s")), 1);
	t_eq_int(tensor_find(s, "s")->nbytes, 4);
	t_eq_int(tensor_find(s, "e")->nbytes, 0);
	t_eq_int(tensor_find(s, "m")->nbytes, 96);
	t_check(!tensor_same_shape(&s->v[1], &s->v[2]));
	t_check(tensor_same_shape(&s->v[2], &s->v[2]));
	tensor_set_free(s);
	tensor_set_free(NULL);
}

T_CASE(a_shape_reads_as_people_write_it)
{
	char buf[TENSOR_SHAPE_TEXT];
	int64_t big[TENSOR_MAX_DIMS];

	t_eq_str(tensor_shape_text(buf, 0, NULL), "[]");
	t_eq_str(tensor_shape_text(buf, 2, (int64_t[]){ 10, 256 }), "[10,256]");
	for (int i = 0; i < TENSOR_MAX_DIMS; i++)
		big[i] = INT64_MIN;
	t_eq_int(strlen(tensor_shape_text(buf, TENSOR_MAX_DIMS, big)),
	    8 * 20 + 7 + 2);
}

static void
refused(const char *name, enum dtype dt, int ndim, const int64_t *d,
    const char *part)
{
	struct tensor_set *s = tensor_set_new();
	struct rk_why why = {0};

	t_eq_int(add(s, name, dt, ndim, d, &why), RK_EINVAL);
	t_has(rk_why_first(&why), part);
	t_eq_int(s->n, 0);
	rk_why_fini(&why);
	tensor_set_free(s);
}

T_CASE(impossible_shapes_and_names_are_refused)
{
	char name[TENSOR_NAME_MAX + 2];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	refused("w", DT_F32, 2, (int64_t[]){ 2, -1 }, "negative");
	refused("w", DT_F32, 2, (int64_t[]){ INT64_MAX, 3 }, "counted");
	refused("w", DT_F32, 1, (int64_t[]){ INT64_MAX }, "bits");
	refused("w", DT_F32, 9, (int64_t[9]){0}, "9 dimensions");
	refused("w", DT_F4, 1, (int64_t[]){ 3 }, "whole number of bytes");
	refused("", DT_F32, 0, NULL, "empty name");
	refused("w\x1b[2J", DT_F32, 0, NULL, "control character");
	refused(name, DT_F32, 0, NULL, "513 bytes");
}

T_CASE(a_thousand_names_are_all_found)
{
	struct tensor_set *s = tensor_set_new();
	char name[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "layer%d.weight", i * 7919 % 1000);
		int64_t d = i;
		t_eq_int(add(s, name, DT_U8, 1, &d, NULL), RK_OK);
	}
	t_eq_int(tensor_set_seal(s, NULL), RK_OK);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "layer%d.weight", i * 7919 % 1000);
		t_check(tensor_find(s, name) == &s->v[i]);
	}
	t_check(tensor_find(s, "layer1000.weight") == NULL);
	t_check(tensor_find(s, "") == NULL);
	tensor_set_free(s);
}

T_CASE(a_name_that_occurs_twice_is_refused)
{
	struct tensor_set *s = tensor_set_new();
	struct rk_why why = {0};

	t_eq_int(add(s, "a", DT_U8, 0, NULL, NULL), RK_OK);
	t_eq_int(add(s, "b", DT_U8, 0, NULL, NULL), RK_OK);
	t_eq_int(add(s, "a", DT_U8, 0, NULL, NULL), RK_OK);
	t_eq_int(tensor_set_seal(s, &why), RK_EINVAL);
	t_eq_str(rk_why_first(&why), "a: occurs twice");
	rk_why_fini(&why);
	tensor_set_free(s);
}

/* One element of type dt at an odd address, as float32. */
static float
value(enum dtype dt, const void *p)
{
	char buf[1 + 8];
	struct tensor t = { .dtype = dt, .data = buf + 1 };
	float f = -1;

	memcpy(buf + 1, p, dtype_bits(dt) / 8);
	t_eq_int(tensor_to_f32(&t, &f), RK_OK);
	return f;
}

T_CASE(elements_become_floats_wherever_they_lie)
{
	t_near(value(DT_F32, &(float){ 1.5f }), 1.5, 0);
	t_near(value(DT_F64, &(double){ -2.25 }), -2.25, 0);
	t_near(value(DT_I8, &(int8_t){ -7 }), -7, 0);
	t_near(value(DT_U8, &(uint8_t){ 200 }), 200, 0);
	t_near(value(DT_I16, &(int16_t){ -300 }), -300, 0);
	t_near(value(DT_U16, &(uint16_t){ 65535 }), 65535, 0);
	t_near(value(DT_I32, &(int32_t){ -70000 }), -70000, 0);
	t_near(value(DT_U32, &(uint32_t){ 1u << 31 }), 2147483648.0, 0);
	t_near(value(DT_I64, &(int64_t){ -5 }), -5, 0);
	t_near(value(DT_U64, &(uint64_t){ 1ull << 40 }), 1099511627776.0, 0);
	t_near(value(DT_BF16, &(uint16_t){ 0x3fc0 }), 1.5, 0);
	t_near(value(DT_F16, &(uint16_t){ 0x3e00 }), 1.5, 0);
	t_near(value(DT_F16, &(uint16_t){ 0xc000 }), -2, 0);
	t_near(value(DT_F16, &(uint16_t){ 0x7bff }), 65504, 0);
	t_near(value(DT_F16, &(uint16_t){ 0x8001 }), -0x1p-24, 0);
	t_near(value(DT_F16, &(uint16_t){ 0x03ff }), 1023 * 0x1p-24, 0);
	t_check(isinf(value(DT_F16, &(uint16_t){ 0xfc00 })));
	t_check(isnan(value(DT_F16, &(uint16_t){ 0x7e00 })));
}

T_CASE(types_without_a_float_value_are_refused)
{
	struct tensor t = { .dtype = DT_C64, .data = "12345678" };
	float f;

	t_eq_int(tensor_to_f32(&t, &f), RK_EINVAL);
	t.dtype = DT_F8_E4M3;
	t_eq_int(tensor_to_f32(&t, &f), RK_EINVAL);
}

T_CASE(wider_numbers_become_the_nearest_float)
{
	/* Just between two floats: the even one, then beyond it. */
	t_near(value(DT_F64, &(double){ 1 + 0x1p-24 }), 1, 0);
	t_near(value(DT_F64, &(double){ 1 + 3 * 0x1p-24 }), 1 + 0x1p-22, 0);
	t_near(value(DT_F64, &(double){ 1 + 0x1.000001p-24 }), 1 + 0x1p-23, 0);
	t_check(isinf(value(DT_F64, &(double){ -1e300 })));
	t_near(value(DT_F64, &(double){ 1e-300 }), 0, 0);
	t_check(isnan(value(DT_F64, &(double){ NAN })));
	t_near(value(DT_I64, &(int64_t){ (1 << 24) + 1 }), 1 << 24, 0);
	t_near(value(DT_I32, &(int32_t){ (1 << 24) + 3 }), (1 << 24) + 4, 0);
	t_near(value(DT_U64, &(uint64_t){ UINT64_MAX }), 0x1p64, 0);
}

T_MAIN
