/*
 * inspect - files of weights that strangers wrote, read in a process of their
 * own.
 *
 * inspect_open() starts the program that runs anew (`rekindle-train --inspect
 * --wire ...`), gives it the opened file, and gets from it what the file says
 * and, when they are asked for, its elements.  Whatever a file does to its
 * reader, it does it there: that process
 *
 *	has        the file, opened for reading, and a socket and some memory
 *	           that it shares with us; no other descriptor
 *	may call   what reading, memory and ending take (confine.c has the
 *	           list): it opens nothing, runs nothing, reaches no network.
 *	           What lies beside an index, and a file to unpack a .gz into,
 *	           we open for it
 *	may take   64 MiB beyond the file's size, no core, some descriptors
 *	ends       with us, when it is done, and when we wait too long
 *
 * Where the kernel has no seccomp the list of calls is left out, and a warning
 * says so once.  Builds with sanitizers may do what their reports take, and
 * have no limit of memory.
 *
 * We believe nothing that it says: descriptions are checked like a file
 * (weights_told_add), and elements are only numbers.  Its end, by whatever
 * signal, is a sentence.
 */
#ifndef REKINDLE_INSPECT_H
#define REKINDLE_INSPECT_H

#include "rekindle/format_weights.h"
#include "rekindle/json.h"

#define INSPECT_MEMORY  ((uint64_t)64 << 20)    /* beyond the file's size */
#define INSPECT_WAIT_MS (10 * 60 * 1000)        /* for one answer */

struct inspect_how {
	const char *member, *part, *sha256;     /* as of weights_how; or NULL */
	const char *at;                 /* where it lies that is called path;
					   NULL: there */
	int wait_ms;                    /* 0: INSPECT_WAIT_MS */
};

/*
 * What of the file is meant may follow its path (base.h, struct rk_part),
 * unless how says so: member, sha256.
 *
 * As weights_open(), by way of that process, which lives until weights_free():
 * its tensors are read by one thread at a time, and none of them lies mapped
 * here.  Beside the errors of weights_open() and of starting a process:
 * RK_EINVAL, the file was more than its reader could bear (killed by a fault of
 * its own); RK_EIO, it was killed from outside; RK_ETIMEDOUT.  how: NULL for
 * none of it.
 */
enum rk_err inspect_open(const char *path, const struct inspect_how *how,
    struct weights **out, struct rk_why *why) RK_MUSTCHECK;

/* Is the process there?  RK_OK, also of weights that have none; else what
 * became of it, as reading would say. */
enum rk_err inspect_ended(const struct weights *w, struct rk_why *why)
    RK_MUSTCHECK;

/*
 * What the elements of a tensor are: least, largest, mean and standard
 * deviation (over n, not n - 1) of the finite ones, in double precision, and
 * how many are not; and the SHA-256 of all elements, in C order, least
 * significant byte first.
 */
struct inspect_figures {
	uint64_t finite, nans, infinities;
	double min, max, mean, std;     /* where finite > 0 */
	unsigned char sha256[32];
	bool numbers;                   /* false: complex ones have only a
					   digest */
};
/* Of tensors of inspect_open(); the process counts.  Errors as of
 * weights_read(). */
enum rk_err inspect_figures(const struct weights *w,
    const struct weights_tensor *t, struct inspect_figures *out,
    struct rk_why *why) RK_MUSTCHECK;

/* --- the program ---------------------------------------------------------- */

/* Of NAME=PATH the path of this name; NULL: none of them has it. */
const char *inspect_place(char *const *places, int n, const char *name);

/* The words behind `--inspect --wire`: answers until its socket closes; the
 * exit code. */
int inspect_serve(int n, char **words);

/*
 * `--inspect FILE...`: what each says, on standard output, as JSON (an object;
 * of several files a list of objects) or as a table.  A file that cannot be
 * read is a sentence on standard error, and the others are shown.  The exit
 * code: 0, or 1 where one could not be read.
 *	{path, format, framework, writer, size, packed, model, optimizer,
 *	 parameters, bytes,
 *	 tensors: [{name, path, alias, role, of, slot, dtype, shape, count,
 *	 bytes, lie,
 *	    same_as, min, max, mean, std, nans, infinities, sha256}],
 *	 values: [{path, kind, value}], parts: [{path, role, tensors, count}],
 *	 notes, metadata: {key: text}}
 * where writer, model, optimizer, alias, of, slot and same_as (a name) may be
 * null; parameters and bytes count tensors of role model once; dtype is as in
 * safetensors ("F32"); min to sha256 are there with statistics only, and null
 * where there is no number.
 */
struct inspect_show {
	struct inspect_how how;
	bool table, statistics;
	char *const *places;            /* [nplaces], for inspect_place() */
	int nplaces;
};
int inspect_show(const struct inspect_show *show, int n, char **paths);

/*
 * `--inspect --diff A B`: what is different between two files, by role and
 * name.  The exit code: 0, all is equal; 1, something is not; 2, a file cannot
 * be read, which is a sentence on standard error.
 *	{a, b, equal, count: {equal, values, type, shape, only_a, only_b},
 *	 tensors: [{name, role, verdict, a: {dtype, shape}, b, different,
 *	 largest, at}]}
 * verdict: one of the keys of count; `type` is said of tensors of one shape
 * whatever their numbers; different: elements that are not equal as numbers
 * (NaN is equal to NaN); largest: difference between two finite ones, first at
 * element `at` in C order; a or b is null where a file has no such tensor.
 */
int inspect_diff(const struct inspect_show *show, char **paths);

#endif
