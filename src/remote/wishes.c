/*
 * How a store is to keep what we put: fields of an entry of `stores` that
 * become headers.  Sources: S3 API Reference, PutObject and
 * CreateMultipartUpload; OSS API reference, PutObject,
 * InitiateMultipartUpload, CompleteMultipartUpload.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define VALUE_MAX 2048

/* With which requests it goes. */
enum when {
	WHEN_MADE,              /* PUT of an object, begin of an upload */
	WHEN_THERE,             /* PUT of an object, end of an upload */
	WHEN_ASKED,             /* all of them */
};

struct wish_kind {
	const char *field;
	struct {
		const char *header;             /* NULL: it cannot be wished */
		enum when when;
		const char *const *words;       /* NULL: see `odd` */
	} s3, oss;
	const char *odd;                /* characters it may have */
};

static const char *const s3_encryptions[] = { "AES256", "aws:kms",
	"aws:kms:dsse", NULL };
static const char *const oss_encryptions[] = { "AES256", "KMS", "SM4", NULL };
static const char *const s3_acls[] = { "private", "public-read",
	"public-read-write", "authenticated-read", "aws-exec-read",
	"bucket-owner-read", "bucket-owner-full-control", NULL };
static const char *const oss_acls[] = { "default", "private", "public-read",
	"public-read-write", NULL };

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static const struct wish_kind kinds[WISHES] = {
	[WISH_ENCRYPTION] = { "encryption",
	    { "x-amz-server-side-encryption", WHEN_MADE, s3_encryptions },
	    { "x-oss-server-side-encryption", WHEN_MADE, oss_encryptions },
	    NULL },
	[WISH_KMS_KEY] = { "kms_key_id",
	    { "x-amz-server-side-encryption-aws-kms-key-id", WHEN_MADE, NULL },
	    { "x-oss-server-side-encryption-key-id", WHEN_MADE, NULL },
	    DIGITS LETTERS ":/_-." },
	[WISH_CLASS] = { "storage_class",
	    { "x-amz-storage-class", WHEN_MADE, NULL },
	    { "x-oss-storage-class", WHEN_MADE, NULL },
	    DIGITS LETTERS "_-" },
	[WISH_ACL] = { "acl",
	    { "x-amz-acl", WHEN_MADE, s3_acls },
	    { "x-oss-object-acl", WHEN_THERE, oss_acls },
	    NULL },
	[WISH_OWNER] = { "expected_owner",
	    { "x-amz-expected-bucket-owner", WHEN_ASKED, NULL },
	    { NULL, WHEN_ASKED, NULL },
	    DIGITS },
};

/* Where an object sleeps until somebody asks for it to be woken. */
static const char *const asleep[] = { "GLACIER", "DEEP_ARCHIVE", "Archive",
	"ColdArchive", "DeepColdArchive" };

static bool
is_word(const char *s, const char *const *words)
{
	while (*words != NULL && strcmp(*words, s) != 0)
		words++;
	return *words != NULL;
}

static void
check_word(struct rkj_obj *o, const char *field, const char *s,
    const char *const *words)
{
	struct strbuf b = {0};

	if (is_word(s, words))
		return;
	for (const char *const *w = words; *w != NULL; w++)
		sb_addf(&b, "%s%s", w == words ? "" : w[1] != NULL ? ", " :
		    " or ", *w);
	rkj_fault(o, field, "is \"%s\", want %s", s, b.s);
	sb_fini(&b);
}

static void
check_one(struct rkj_obj *o, enum wish w, bool oss, const char *s)
{
	const struct wish_kind *k = &kinds[w];
	const char *const *words = oss ? k->oss.words : k->s3.words;

	if ((oss ? k->oss.header : k->s3.header) == NULL)
		rkj_fault(o, k->field, "is for s3:// only");
	else if (words != NULL)
		check_word(o, k->field, s, words);
	else if (s[0] == '\0' || strspn(s, k->odd) != strlen(s))
		rkj_fault(o, k->field, "is \"%s\", which it cannot be", s);
	for (size_t i = 0; w == WISH_CLASS && i < RK_ARRAY_LEN(asleep); i++) {
		if (strcmp(asleep[i], s) == 0)
			rkj_fault(o, k->field, "is %s, whose objects cannot be "
			    "read at once, and checkpoints are", s);
	}
	if (w == WISH_OWNER && strlen(s) != 12)
		rkj_fault(o, k->field, "is \"%s\", want the 12 digits of an "
		    "account", s);
}

void
wishes_read(struct rkj_obj *o, char *wishes[WISHES])
{
	for (enum wish w = 0; w < WISHES; w++)
		rkj_str(o, kinds[w].field, &wishes[w], VALUE_MAX, RKJ_OPTIONAL);
}

void
wishes_check(struct rkj_obj *o, enum store_kind kind, char *wishes[WISHES])
{
	const bool oss = kind == STORE_OSS;
	const char *how = wishes[WISH_ENCRYPTION];

	for (enum wish w = 0; w < WISHES; w++) {
		if (wishes[w] != NULL && kind == STORE_HTTPS)
			rkj_fault(o, kinds[w].field, "is of no use: https:// "
			    "addresses can only be read");
		else if (wishes[w] != NULL)
			check_one(o, w, oss, wishes[w]);
	}
	if (wishes[WISH_KMS_KEY] != NULL && how == NULL)
		wishes[WISH_ENCRYPTION] = xstrdup(oss ? "KMS" : "aws:kms");
	else if (wishes[WISH_KMS_KEY] != NULL && strcmp(how, "AES256") == 0)
		rkj_fault(o, kinds[WISH_KMS_KEY].field, "is of no use with "
		    "encryption: AES256");
}

static bool
goes_with(enum when when, bool put, bool begins, bool ends)
{
	return when == WHEN_ASKED || put ||
	    (when == WHEN_MADE ? begins : ends);
}

size_t
wishes_headers(const struct rstore *s, const char *method,
    const struct sign_query *q, size_t nq, struct sign_header out[WISHES])
{
	bool of_upload = false, begins = false;
	size_t n = 0;

	for (size_t i = 0; i < nq; i++) {
		of_upload = of_upload || strcmp(q[i].name, "uploadId") == 0;
		begins = begins || strcmp(q[i].name, "uploads") == 0;
	}
	const bool post = strcmp(method, "POST") == 0;
	const bool put = strcmp(method, "PUT") == 0 && !of_upload;
	for (enum wish w = 0; w < WISHES; w++) {
		const bool oss = s->kind == STORE_OSS;
		const enum when when = oss ? kinds[w].oss.when :
		    kinds[w].s3.when;
		if (s->wishes[w] != NULL && goes_with(when, put, post &&
		    begins, post && of_upload))
			out[n++] = (struct sign_header){ oss ?
			    kinds[w].oss.header : kinds[w].s3.header,
			    s->wishes[w] };
	}
	return n;
}
