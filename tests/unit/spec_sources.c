/* Every rule that a source of data can break, with the sentence that says so. */
#include "spec_common.h"

struct rule {
	const char *fields;             /* of the source */
	const char *path, *words;       /* below data.train; the sentence's */
};

/* A job of 1 GiB whose training data have some fields and break each rule in turn. */
static void
each(const char *first, const struct rule *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c[400], path[64];
		snprintf(c, sizeof(c), "resources: {memory: 1GiB}\n"
		    "data: {validation: null, train: {%s, %s}}", first,
		    v[i].fields);
		snprintf(path, sizeof(path), "data.train.%s", v[i].path);
		refused(c, path, v[i].words);
	}
}

T_CASE(csv_rules)
{
	static const struct rule csv[] = {
		{ "label: y", "path", "missing" },
		{ "path: /x", "label", "-1 is the last" },
		{ "path: /x, label: 1.5", "label", "want an integer" },
		{ "path: /x, label: ''", "label", "empty" },
		{ "path: /x, label: y, header: maybe", "header",
		    "want auto, true or false" },
		{ "path: /x, label: y, delimiter: ab", "delimiter",
		    "want one of" },
		{ "path: /x, label: y, delimiter: '.'", "delimiter",
		    "is \".\", want one of" },
	};
	each("images: null, labels: null, type: csv", csv,
	    RK_ARRAY_LEN(csv));
	refused("data: {validation: null, train: {type: csv, path: /x, "
	    "label: y, labels: null}}", "data.train.images",
	    "is for idx, not for csv");
	refused("data: {validation: null, normalize: scale, train: "
	    "{images: null, labels: null, type: csv, path: /x, label: y}}",
	    "data.normalize.type", "csv takes standard or none");
}

T_CASE(cifar_rules)
{
	static const struct rule bad[] = {
		{ "classes: 10", "path", "missing" },
		{ "path: ''", "path", "is empty" },
		{ "path: 7", "path", "is 7, want text" },
		{ "path: []", "path", "has 0 files, want 1 to 16" },
		{ "path: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q]", "path",
		    "has 17 files, want 1 to 16" },
		{ "path: [/x, 5]", "path[1]", "is 5, want text" },
		{ "path: [/x, '']", "path[1]", "is empty" },
		{ "path: [/x, 'ftp://b/x']", "path[1]", "want the path of" },
		{ "path: [/x, 's3://b']", "path[1]", "names no object" },
		{ "path: /x, classes: 20", "classes", "is 20, want 10 "
		    "(records of CIFAR-10) or 100 (of CIFAR-100)" },
		{ "path: /x, classes: 1000", "classes", "10 to 100" },
		{ "path: /x, label: y", "label", "want fine or coarse" },
		{ "path: /x, label: coarse", "label", "want classes: 100" },
		{ "path: /x, header: true", "header",
		    "is for csv and text, not for cifar" },
		{ "path: /x, samples: 5", "samples",
		    "is for synthetic, not for cifar" },
	};
	each("images: null, labels: null, type: cifar", bad,
	    RK_ARRAY_LEN(bad));
	refused("data: {validation: null, normalize: {type: scale, mean: [0, "
	    "0, 0], std: [1, 1]}, train: {images: null, labels: null, type: "
	    "cifar, path: /x}}", "data.normalize.std", "has 2 numbers and "
	    "mean 3");
}

T_CASE(array_rules)
{
	static const struct rule bad[] = {
		{ "type: npy, labels: /y", "path", "missing" },
		{ "type: npy, path: /x, labels: null", "labels", "missing" },
		{ "type: npy, path: /x, labels: ''", "labels", "is empty, "
		    "want the path of a file" },
		{ "type: npy, path: /x, labels: 'ftp://b/y'", "labels",
		    "want the path of a file, or an address" },
		{ "type: npy, path: [/x], labels: /y", "path", "want text" },
		{ "type: npy, path: /x, labels: /y, features: x", "features",
		    "is for npz, not for npy" },
		{ "type: npz, labels: y", "path", "missing" },
		{ "type: npz, path: /x, labels: ''", "labels", "is empty, "
		    "want the name of an array" },
		{ "type: npz, path: /x, labels: x", "labels", "is \"x\", and "
		    "so are the features: want two arrays" },
		{ "type: npz, path: /x, features: y, labels: null",
		    "labels", "want two arrays" },
		{ "type: npz, path: /x, labels: 5", "labels", "is 5, want" },
		{ "type: npz, path: /x, labels: y, shape: [0]", "shape[0]",
		    "is 0, want" },
		{ "type: npz, path: /x, labels: y, vocabulary: 1",
		    "vocabulary", "want an integer 2 to 16777216" },
		{ "type: npz, path: /x, labels: y, tokens: 5", "tokens",
		    "is for synthetic, not for npz" },
	};
	each("images: null", bad,
	    RK_ARRAY_LEN(bad));
	refused("data: {validation: null, normalize: scale, train: {images: "
	    "null, type: npy, path: /x, labels: /y, vocabulary: 9}}",
	    "data.normalize.type", "is scale, and tokens are whole numbers");
}

T_CASE(synthetic_rules)
{
	static const struct rule bad[] = {
		{ "shape: [4]", "samples", "missing" },
		{ "samples: 5", "shape", "so is tokens: want one of them" },
		{ "samples: 0, shape: [4]", "samples", "is 0, want" },
		{ "samples: 2147483649, shape: [4]", "samples",
		    "want an integer 1 to 2147483648" },
		{ "samples: 5, shape: [4, 0]", "shape[1]", "is 0, want" },
		{ "samples: 5, shape: []", "shape", "has 0 numbers" },
		{ "samples: 5, shape: [1, 2, 3, 4, 5]", "shape",
		    "has 5 numbers, want 1 to 4" },
		{ "samples: 5, shape: [4096, 4097]", "shape",
		    "more than the 16777216 numbers" },
		{ "samples: 5, shape: [16777216, 16777216, 16777216, "
		    "16777216]", "shape", "more than the 16777216 numbers" },
		{ "samples: 5, tokens: 3", "vocabulary", "missing" },
		{ "samples: 5, tokens: 3, vocabulary: 1", "vocabulary",
		    "is 1, want an integer 2 to 16777216" },
		{ "samples: 5, shape: [4], vocabulary: 9", "vocabulary",
		    "is for tokens, not for a shape" },
		{ "samples: 5, shape: [4], tokens: 3, vocabulary: 9", "tokens",
		    "and shape are both given" },
		{ "samples: 5, shape: [4], classes: 1", "classes",
		    "want an integer 2 to 1048576" },
		{ "samples: 5, shape: [4], seed: -1", "seed", "is -1, want" },
		{ "samples: 5, shape: [4], path: /x", "path",
		    ", not for synthetic" },
		/* What no file bounds. */
		{ "samples: 1000000, shape: [3, 32, 32]", "samples",
		    "is of 11.4 GiB, and resources.memory is 1 GiB" },
		{ "samples: 2147483648, tokens: 16777216, vocabulary: 2",
		    "samples", "and resources.memory is 1 GiB" },
	};
	each("images: null, labels: null, type: synthetic", bad,
	    RK_ARRAY_LEN(bad));
	refused("data: {validation: {images: null, labels: null, type: "
	    "synthetic, samples: 5, shape: [4]}, train: {images: null, labels: "
	    "null, type: synthetic, samples: 9, shape: [4]}}",
	    "data.validation", "has the seed of train, 1");
	refused("data: {validation: null, normalize: standard, train: {images: "
	    "null, labels: null, type: synthetic, samples: 9, tokens: 4, "
	    "vocabulary: 9}}", "data.normalize.type", "is standard, and tokens "
	    "are whole numbers that stay as they are: want none");
}

/* What a job of tokens, 9 of them, is told of its vocabulary when it is new. */
static void
check_vocabulary(const char *model, const char *words)
{
	struct rk_why w = {0};
	struct spec *s = NULL;
	char job[400];

	snprintf(job, sizeof(job), "{name: x, model: {%s}, training: {epochs: 1, "
	    "batch_size: 2}, data: {train: {type: synthetic, samples: 5, "
	    "tokens: 4, vocabulary: 9, classes: 2}}}", model);
	t_eq_int(spec_parse_text(job, strlen(job), true, &s, &w), RK_OK);
	spec_check_vocabulary(s, &w);
	t_eq_int(w.n, words != NULL);
	if (words != NULL) {
		t_eq_str(w.v[0].path, "model.vocabulary");
		t_eq_str(w.v[0].message, words);
	}
	rk_why_fini(&w);
	spec_free(s);
}

T_CASE(tokens_are_drawn_from_no_more_than_the_network_has)
{
	static const char few[] = "is 8, and data.train.vocabulary is 9: want "
	    "at least as many";

	check_vocabulary("arch: bert, vocabulary: 8, classes: 2", few);
	check_vocabulary("arch: textcnn, vocabulary: 8, classes: 2", few);
	check_vocabulary("arch: bert, vocabulary: 9, classes: 2", NULL);
	check_vocabulary("arch: resnet18, classes: 2", NULL);
	check_vocabulary("layers: [{type: embedding, rows: 8, width: 2}, "
	    "flatten, {type: linear, out: 2}]", NULL);
}

T_MAIN
