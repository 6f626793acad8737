/*
 * profile - --profile: where the time of a step goes, by instruction of the
 * network's program, with the data and the optimiser beside them.
 *
 *	profile.c   the steps, and what is measured of them
 *	table.c     what is printed, for people and as JSON
 *	trace.c     the file of --trace
 *
 * Nothing is written but that file: no run directory, no checkpoint.
 */
#ifndef TRAIN_PROFILE_H
#define TRAIN_PROFILE_H

#include "rekindle/kernel_watch.h"

#include "run.h"

/* What of a step is none of the network's instructions; STEP is all of it. */
enum profile_part {
	PROFILE_DATA, PROFILE_OPTIMIZER, PROFILE_STEP, PROFILE_PARTS
};
extern const char *const profile_part_words[PROFILE_PARTS];

struct profile_cell {
	int64_t ns, waiting_ns;         /* see kernel_watch_waiting() */
	int64_t calls, rows;
};

/* One that is being measured. */
struct profile_mark {
	int64_t from_ns;
	struct kernel_sums sums;
};

struct profile {
	struct nn *nn;
	const char *name;               /* of the job */
	const char *arithmetic;
	int64_t steps, batch;
	int threads;
	double peak;                    /* GFLOP/s */
	const char *isa;
	int name_width;                 /* of the table's first column */
	size_t ninstrs;
	struct profile_cell *instr;
	struct profile_cell part[PROFILE_PARTS];
	struct kernel_watch *team;
	/* What the main thread did, by tag: an instruction's number, or
	 * ninstrs + a part; for the trace. */
	struct kernel_lane spans;
	struct profile_mark now, now_part[PROFILE_PARTS];
};

/* loop.c: a part begins and ends. */
void profile_enter(struct profile *p, enum profile_part part);
void profile_leave(struct profile *p, enum profile_part part);

bool profile_print(struct run *r);

/* table.c */
void profile_table(const struct profile *p, struct strbuf *out);
json_t *profile_json(const struct profile *p);
/* trace.c: the whole file, see there; out of memory is not planned for. */
void profile_trace(const struct profile *p, struct strbuf *out);

#endif
