/* The files of a trainer's log: log.c bounds them, log_read.c reads them as
 * one, log_watch.c looks at those that grow. */
#ifndef SUP_LOG_H
#define SUP_LOG_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_FILE "train.log"
#define LOG_AT   "train.log.at"
#define LOG_NAME 32
#define LOG_FILES_MAX 16        /* train.log and 15 older ones */
#define LOG_END  (INT64_MAX / 4)

/* Where train.log begins in the whole log.  files: 0, or train.log is being
 * copied to so many files and truncated; train.log.1 has what follows its first
 * `ahead` bytes. */
struct log_at {
	int64_t start, ahead;
	int files;
};
void log_at_read(int dirfd, struct log_at *at);

/* "train.log", "train.log.1", ... */
void log_name(char out[LOG_NAME], int k);

/* Put in order what a rotation that was cut short has left. */
void log_recover(int dirfd);

struct log_bound {
	int dirfd;                      /* the job's folder */
	int fd;                         /* train.log, O_RDWR | O_APPEND */
	bool shared;                    /* the trainer's own file description */
	int64_t share;                  /* bytes of a file */
	int files;
	uint64_t *lost;                 /* bytes; a sum */
};
/* Copy and truncate.  false: it could not be, and the log may grow to a share
 * and a half before it is truncated all the same. */
bool log_rotate(const struct log_bound *b);

#endif
