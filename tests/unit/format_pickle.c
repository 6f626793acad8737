/*
 * The machine that reads pickles: what each instruction makes, and a sentence for
 * each way in which a pickle can ask for more than values.
 */
#include "pickle.h"
#include "t.h"

#define P2 "\x80\x02"

/* A pickle being read, with an arena of its own. */
struct reading {
	struct pickle k;
	struct arena arena;
	size_t left;
	uint8_t *bytes;                 /* exactly sized, for ASan */
	struct rk_why why;
};

static enum rk_err
start(struct reading *r, const void *p, size_t n, size_t budget)
{
	*r = (struct reading){ .left = budget };
	r->bytes = malloc(n > 0 ? n : 1);
	memcpy(r->bytes, p, n);
	r->arena.left = &r->left;
	r->k = (struct pickle){ .arena = &r->arena, .p = r->bytes, .n = n,
	    .who = PICKLE_TORCH | PICKLE_PADDLE };
	return pickle_read(&r->k, &r->why);
}

static void
stop(struct reading *r, size_t budget)
{
	arena_free(&r->arena);
	t_eq_int(r->left, budget);
	rk_why_fini(&r->why);
	free(r->bytes);
}

#define BUDGET ((size_t)1 << 20)

static struct pickle_value
good_bytes(struct reading *r, const void *p, size_t n)
{
	if (start(r, p, n, BUDGET) != RK_OK)
		t_fail("refused: %s", rk_why_first(&r->why));
	t_eq_int(r->why.n, 0);
	return r->k.value;
}
#define good(r, s) good_bytes(r, s, sizeof(s) - 1)

static void
bad_bytes(const void *p, size_t n, enum rk_err want, const char *part)
{
	struct reading r;

	t_eq_int(start(&r, p, n, BUDGET), want);
	t_eq_int(r.why.n, 1);
	t_has(rk_why_first(&r.why), part);
	stop(&r, BUDGET);
}
#define bad(s, part) bad_bytes(s, sizeof(s) - 1, RK_EINVAL, part)

static void
is_int(const struct pickle_value *v, int64_t want)
{
	t_eq_int(v->kind, PK_INT);
	t_eq_int(v->i, want);
}

T_CASE(plain_values_are_what_python_writes)
{
	struct reading r;
	struct pickle_value v = good(&r, P2 "(NK\x05M\x01\x02J\xff\xff\xff\xff"
	    "\x88\x89G\x3f\xf8\0\0\0\0\0\0X\x02\0\0\0hiU\x03" "abct.");

	t_eq_int(v.kind, PK_TUPLE);
	t_eq_int(v.seq->n, 9);
	t_eq_int(v.seq->v[0].kind, PK_NONE);
	is_int(&v.seq->v[1], 5);
	is_int(&v.seq->v[2], 0x201);
	is_int(&v.seq->v[3], -1);
	t_check(v.seq->v[4].kind == PK_BOOL && v.seq->v[4].b);
	t_check(v.seq->v[5].kind == PK_BOOL && !v.seq->v[5].b);
	t_check(v.seq->v[6].kind == PK_FLOAT && v.seq->v[6].f == 1.5);
	t_check(pickle_is(&v.seq->v[7], "hi") && v.seq->v[7].kind == PK_TEXT);
	t_check(pickle_is(&v.seq->v[8], "abc"));
	t_eq_int(v.seq->v[8].kind, PK_STRING);
	t_eq_int(r.k.at, r.k.n);
	stop(&r, BUDGET);
}

T_CASE(whole_numbers_of_any_length_keep_their_sign)
{
	struct reading r;
	struct pickle_value v = good(&r, P2 "(\x8a\0\x8a\x01\xff\x8a\x03\0\0\x80"
	    "\x8a\x08\0\0\0\0\0\0\0\x80\x8a\x09\0\0\0\0\0\0\0\0\x01\x8b\x02\0\0"
	    "\0\x39\x30t.");

	is_int(&v.seq->v[0], 0);
	is_int(&v.seq->v[1], -1);
	is_int(&v.seq->v[2], -8388608);
	is_int(&v.seq->v[3], INT64_MIN);
	t_check(v.seq->v[4].kind == PK_LONG && v.seq->v[4].n == 9);
	is_int(&v.seq->v[5], 12345);
	stop(&r, BUDGET);
	bad(P2 "\x8b\xff\0\0\0.", "ends inside of an instruction");
	bad(P2 "\x8b\0\x01\0\x01.", "more than 255 bytes");
}

T_CASE(lists_and_dicts_take_items_one_by_one_and_many_at_once)
{
	struct reading r;
	struct pickle_value v = good(&r, P2 "](K\x01K\x02" "eK\x03" "a}(K\x01K\x02"
	    "uK\x03K\x04s\x86.");
	const struct pickle_value *t = pickle_tuple(&v, 2);

	t_check(t != NULL && pickle_tuple(&v, 1) == NULL);
	t_eq_int(t[0].kind, PK_LIST);
	t_eq_int(t[0].seq->n, 3);
	is_int(&t[0].seq->v[2], 3);
	t_eq_int(t[1].kind, PK_DICT);
	t_eq_int(t[1].seq->n, 4);
	is_int(&t[1].seq->v[3], 4);
	stop(&r, BUDGET);
	bad(P2 "K\x01K\x02" "a.", "holds nothing");
	bad(P2 "}K\x01" "a.", "holds nothing");
	bad(P2 "}(K\x01u.", "a key without a value");
	bad(P2 "e.", "wants a mark");
	bad(P2 "(e.", "wants more values");
	bad(P2 "K\x01(\x85.", "wants more values");
}

T_CASE(the_memo_gives_the_same_value_and_not_a_copy)
{
	struct reading r;
	struct pickle_value v = good(&r, P2 "]q\x05h\x05j\x05\0\0\0\x87.");
	const struct pickle_value *t = pickle_tuple(&v, 3);

	t_check(t[0].seq == t[1].seq && t[1].seq == t[2].seq);
	stop(&r, BUDGET);
	v = good(&r, "\x80\x04(]\x94h\0]\x94t.");
	t_check(v.seq->v[0].seq == v.seq->v[1].seq);
	t_check(v.seq->v[0].seq != v.seq->v[2].seq);
	stop(&r, BUDGET);
	/* A list that holds itself is one. */
	v = good(&r, P2 "]q\0h\0" "a.");
	t_check(v.seq->n == 1 && v.seq->v[0].seq == v.seq);
	stop(&r, BUDGET);
	bad(P2 "h\x01.", "was not put there");
	bad(P2 "K\x01q\x01h\x02.", "was not put there");
	bad(P2 "K\x01r\0\0\0\x7f.", "more than 2097152 entries");
	bad(P2 "q\x01.", "wants more values");
}

/* 200,000 lists in one another, and tuples. */
T_CASE(what_is_nested_too_deep_is_refused)
{
	struct strbuf b = {0};

	sb_adds(&b, P2 "K\x01");
	for (int i = 0; i < 100; i++)
		sb_addc(&b, '\x85');
	sb_addc(&b, '.');
	struct reading r;
	good_bytes(&r, b.s, b.len);
	stop(&r, BUDGET);
	sb_cut(&b, 4);
	char *more = xasprintf(P2 "K\x01\x85%s", b.s);
	bad_bytes(more, strlen(more), RK_ELIMIT, "more than 100 deep");
	free(more);
	sb_reset(&b);
	sb_adds(&b, P2);
	for (int i = 0; i < 200000; i++)
		sb_addc(&b, '(');
	bad_bytes(b.s, b.len, RK_EINVAL, "more than 100 marks");
	sb_fini(&b);
}

/* An id in an id would let a question about its depth recurse. */
T_CASE(a_persistent_id_is_a_tuple)
{
	struct reading r;
	struct pickle_value v = good(&r, P2 "(K\x01tQ.");

	t_eq_int(v.kind, PK_PERSISTENT);
	t_check(pickle_tuple(v.id, 1) != NULL);
	t_eq_int(r.k.npersistent, 1);
	stop(&r, BUDGET);
	bad(P2 "(K\x01tQQ.", "a persistent id that is no tuple");
}

T_CASE(memory_is_of_one_budget)
{
	struct reading r;
	struct strbuf b = {0};

	sb_adds(&b, P2);
	for (int i = 0; i < 100000; i++)
		sb_addc(&b, ']');
	t_eq_int(start(&r, b.s, b.len, BUDGET), RK_ELIMIT);
	t_has(rk_why_first(&r.why), "takes more than");
	stop(&r, BUDGET);
	/* The stack and the memo are of it. */
	sb_reset(&b);
	sb_adds(&b, P2);
	for (int i = 0; i < 100000; i++)
		sb_addc(&b, 'N');
	t_eq_int(start(&r, b.s, b.len, BUDGET), RK_ELIMIT);
	stop(&r, BUDGET);
	t_eq_int(start(&r, P2 "K\x01r\0\0\x1f\0.", 10, BUDGET), RK_ELIMIT);
	stop(&r, BUDGET);
	sb_fini(&b);
}

T_CASE(what_ends_early_is_refused)
{
	static const char whole[] = P2 "(K\x01X\x03\0\0\0" "abct.";

	for (size_t n = 0; n < sizeof(whole) - 1; n++)
		bad_bytes(whole, n, RK_EINVAL, "cut off");
	bad(P2 "X\xff\xff\xff\xff" "abc.", "ends inside of an instruction");
	bad("\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff" "abc.",
	    "ends inside of an instruction");
	bad("\x80\x04\x95\xff\0\0\0\0\0\0\0N.", "a frame that is longer");
	bad(P2 "NN.", "more than one value");
	bad(P2 "(N.", "more than one value");
	bad(P2 ".", "wants more values");
	bad("\x80\x06N.", "of a protocol that Python does not have");
}

T_CASE(a_name_that_is_not_on_the_list_is_refused_and_named)
{
	bad(P2 "cos\nsystem\n(U\x02lst" "R.", "the file asks for os.system; "
	    "nothing was run: it is no file of weights");
	bad("\x80\x04\x8c\x05posix\x8c\x06system\x93.", "asks for posix.system");
	bad(P2 "c__builtin__\nexec\n.", "asks for __builtin__.exec; nothing was "
	    "run: it is no file of weights");
	bad(P2 "cmodels.yolo\nModel\n.", "asks for models.yolo.Model; nothing "
	    "was run: it has objects of a program");
	bad(P2 "cos\nsystem", "a name of at most 256 bytes");
	bad("\x80\x04K\x01\x8c\x01x\x93.", "a name of at most 256 bytes");
	/* Each part of a name counts whole. */
	bad(P2 "ccollections\nOrderedDic\n.", "asks for collections.OrderedDic");
	bad(P2 "ccollection\nOrderedDict\n.", "asks for collection.OrderedDict");
}

T_CASE(names_are_given_to_who_may_ask_for_them)
{
	static const char bytes[] = P2 "ctorch\nFloatStorage\n.";
	struct reading r = { .left = BUDGET };

	r.arena.left = &r.left;
	r.k = (struct pickle){ .arena = &r.arena, .who = PICKLE_PADDLE,
	    .p = (const uint8_t *)bytes, .n = sizeof(bytes) - 1 };
	t_eq_int(pickle_read(&r.k, &r.why), RK_EINVAL);
	t_has(rk_why_first(&r.why), "asks for torch.FloatStorage");
	rk_why_fini(&r.why);
	arena_free(&r.arena);
}

T_CASE(instructions_that_weights_do_not_have_are_refused_by_name)
{
	bad("I1\n.", "the instruction INT (0x49)");
	bad(P2 "N0.", "the instruction POP (0x30)");
	bad(P2 "(ios\nsystem\n.", "the instruction INST (0x69)");
	bad(P2 "\x82\x01.", "the instruction EXT1 (0x82)");
	bad("\x80\x05\x97.", "the instruction NEXT_BUFFER (0x97)");
	bad(P2 "\xff.", "the instruction unknown to Python (0xff)");
}

T_CASE(calls_become_values_by_rules)
{
	struct reading r;
	struct pickle_value v = good(&r, P2 "ccollections\nOrderedDict\n)R"
	    "K\x01K\x02s.");

	t_check(v.kind == PK_DICT && v.seq->n == 2);
	stop(&r, BUDGET);
	/* As Python 2 writes it: of a list of pairs. */
	v = good(&r, P2 "ccollections\nOrderedDict\n(](](U\x01" "aK\x02" "e"
	    "](U\x01" "bK\x03" "eetR.");
	t_check(v.kind == PK_DICT && v.seq->n == 4);
	t_check(pickle_get(&v, "b") != NULL && pickle_get(&v, "b")->i == 3);
	t_check(pickle_get(&v, "c") == NULL);
	stop(&r, BUDGET);
	v = good(&r, P2 "ctorch\nSize\n((K\x02K\x03ttR.");
	t_check(pickle_tuple(&v, 2) != NULL);
	stop(&r, BUDGET);
	v = good(&r, P2 "ctorch\ndevice\n(U\x04" "cudaK\x01tR.");
	t_check(pickle_is(&v, "cuda"));
	stop(&r, BUDGET);
	v = good(&r, P2 "ctorch.torch_version\nTorchVersion\n(U\x03" "2.1t\x81.");
	t_check(pickle_is(&v, "2.1"));
	stop(&r, BUDGET);
	v = good(&r, P2 "c__builtin__\nset\n(](K\x01K\x02" "etR.");
	t_check(v.kind == PK_SET && v.seq->n == 2);
	stop(&r, BUDGET);
	v = good(&r, P2 "cargparse\nNamespace\n)R}U\x01" "aK\x01sb.");
	t_check(pickle_is_object(&v, PN_NAMESPACE));
	t_check(pickle_get(&v.object->state, "a") != NULL);
	stop(&r, BUDGET);
	bad(P2 "ccollections\nOrderedDict\n(]K\x01" "atR.", "in a way that");
	bad(P2 "ccollections\nOrderedDict\nNR.", "without arguments");
	bad(P2 "K\x01)R.", "calls what is no name");
	bad(P2 "K\x01}b.", "gives a state to what has none");
}

T_CASE(bytes_that_protocol_2_writes_as_text_are_bytes)
{
	struct reading r;
	struct pickle_value v = good(&r, P2 "c_codecs\nencode\n(X\x05\0\0\0a\0"
	    "\xc3\xbf" "bU\x06latin1tR.");

	t_check(v.kind == PK_LATIN && v.n == 5 && pickle_is_bytes(&v));
	stop(&r, BUDGET);
	v = good(&r, P2 "c__builtin__\nbytes\n)R.");
	t_check(v.kind == PK_BYTES && v.n == 0);
	stop(&r, BUDGET);
	/* U+0100, half a character, one that is too long, another code. */
	bad(P2 "c_codecs\nencode\n(X\x02\0\0\0\xc4\x80U\x06latin1tR.",
	    "characters that are no bytes");
	bad(P2 "c_codecs\nencode\n(X\x01\0\0\0\xc3U\x06latin1tR.",
	    "characters that are no bytes");
	bad(P2 "c_codecs\nencode\n(X\x02\0\0\0\xc0\x80U\x06latin1tR.",
	    "characters that are no bytes");
	bad(P2 "c_codecs\nencode\n(X\x01\0\0\0aU\x05rot13tR.", "in a way that");
	bad(P2 "c_codecs\nencode\n(K\x01U\x06latin1tR.", "in a way that");
}

/* Also in the one form in which Paddle's static graphs once wrote it. */
T_CASE(eval_is_refused_whatever_it_is_asked)
{
	bad(P2 "c__builtin__\neval\n(U\x04" "data}U\x04" "dataK\x07stR.",
	    "asks for __builtin__.eval");
}

T_CASE(python_text_is_text_only_if_it_is_utf8)
{
	struct reading r;
	struct pickle_value v = good(&r, P2 "(U\x02\xc3\xa9U\x01\xe9X\x03\0\0\0"
	    "\xed\xa0\x80t.");

	t_check(pickle_is_text(&v.seq->v[0]));
	t_check(!pickle_is_text(&v.seq->v[1]));
	t_check(pickle_is_bytes(&v.seq->v[1]));
	/* Half a surrogate, which Python lets through. */
	t_check(!pickle_is_text(&v.seq->v[2]));
	stop(&r, BUDGET);
}

T_MAIN
