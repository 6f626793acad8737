/* regex, inside: the program that a pattern becomes. */
#ifndef BASE_REGEX_H
#define BASE_REGEX_H

#include "rekindle/base_regex.h"

struct regex_set {
	uint8_t bits[32];
};

enum regex_op {
	X_SET,                  /* a byte of `set` */
	X_JUMP,                 /* to `to` */
	X_SPLIT,                /* to `to`, or else to `or` */
	X_SPLIT_LAST,           /* to `or`, or else to `to` */
	X_SAVE,                 /* the place into slot `to` */
	X_BEGIN, X_END,         /* of the text */
	X_MATCH
};

struct regex_instr {
	enum regex_op op;
	int to, or;
	struct regex_set set;
};

struct rk_regex {
	struct regex_instr *v;
	int n;
	int groups;
};

#endif
