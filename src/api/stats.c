/* What /metrics says, in the text format of Prometheus. */
#include "impl.h"

#include <dirent.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Upper ends of the buckets of a request's duration, in seconds. */
static const double ends[STATS_BUCKETS] = {
	0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 1, 10
};

#define ROUTE_OF(r) ((r) != NULL ? (size_t)((r) - routes) : nroutes)
#define RUNNING_MAX 256         /* jobs with gauges of their own */

void
stats_init(struct stats *s)
{
	s->by_status = xcalloc((nroutes + 1) * STATS_STATUS,
	    sizeof(*s->by_status));
	s->began_ms = now_ms();
}

void
stats_fini(struct stats *s)
{
	free(s->by_status);
}

void
stats_count(struct stats *s, const struct route *r, int status, int64_t ns)
{
	double sec = (double)ns / 1e9;
	size_t i = 0;

	must(status > 0 && status < STATS_STATUS);
	s->by_status[ROUTE_OF(r) * STATS_STATUS + (size_t)status]++;
	while (i < STATS_BUCKETS && sec > ends[i])
		i++;
	s->bucket[i]++;
	s->seconds += sec;
	s->count++;
}

static void
head(struct strbuf *b, const char *name, const char *type, const char *help)
{
	sb_addf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
gauge(struct strbuf *b, const char *name, const char *help, double v)
{
	head(b, name, "gauge", help);
	sb_addf(b, "%s %.15g\n", name, v);
}

static void
counter(struct strbuf *b, const char *name, const char *help, double v)
{
	head(b, name, "counter", help);
	sb_addf(b, "%s %.15g\n", name, v);
}

/* --- requests ------------------------------------------------------------ */

static void
write_requests(struct strbuf *b, const struct stats *s)
{
	uint64_t sum = 0;

	head(b, "rekindle_http_requests_total", "counter",
	    "Requests answered, by route and status.");
	for (size_t r = 0; r <= nroutes; r++) {
		for (int st = 0; st < STATS_STATUS; st++) {
			size_t at = r * STATS_STATUS + (size_t)st;
			uint64_t n = s->by_status[at];
			if (n > 0)
				sb_addf(b, "rekindle_http_requests_total"
				    "{route=\"%s\",status=\"%d\"} %llu\n",
				    r < nroutes ? routes[r].op : "none", st,
				    (unsigned long long)n);
		}
	}
	head(b, "rekindle_http_request_duration_seconds", "histogram",
	    "From the first line of a request to its answer.");
	for (size_t i = 0; i < STATS_BUCKETS; i++) {
		sum += s->bucket[i];
		sb_addf(b, "rekindle_http_request_duration_seconds_bucket"
		    "{le=\"%g\"} %llu\n", ends[i], (unsigned long long)sum);
	}
	sb_addf(b, "rekindle_http_request_duration_seconds_bucket"
	    "{le=\"+Inf\"} %llu\n"
	    "rekindle_http_request_duration_seconds_sum %.9g\n"
	    "rekindle_http_request_duration_seconds_count %llu\n",
	    (unsigned long long)s->count, s->seconds,
	    (unsigned long long)s->count);
}

static void
write_doors(struct strbuf *b, struct api *a)
{
	static const char *const words[DOORS] = { "tcp", "unix" };

	head(b, "rekindle_http_connections", "gauge",
	    "Connections open now, by socket.");
	for (int i = 0; i < DOORS; i++) {
		const union MHD_DaemonInfo *d = a->door[i].mhd == NULL ? NULL :
		    MHD_get_daemon_info(a->door[i].mhd,
		    MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
		if (d != NULL)
			sb_addf(b, "rekindle_http_connections{socket=\"%s\"} "
			    "%u\n", words[i], d->num_connections);
	}
	gauge(b, "rekindle_http_streams",
	    "Clients that follow events, metrics or a log.", a->nstreams);
}

/* --- the mirror ----------------------------------------------------------- */

static void
write_mirror(struct strbuf *b, const struct mirror *m)
{
	if (m == NULL)
		return;
	head(b, "rekindle_mirror_state", "gauge",
	    "1 for the state that the mirror is in.");
	for (int i = 0; mirror_state_words[i] != NULL; i++)
		sb_addf(b, "rekindle_mirror_state{state=\"%s\"} %d\n",
		    mirror_state_words[i], (int)mirror_state(m) == i);
	if (mirror_absent(m) != MIRROR_ABSENT_UNKNOWN)
		gauge(b, "rekindle_mirror_put_if_absent",
		    "1: the bucket does it; 0: it ignores it, so that no "
		    "machine can own the jobs.",
		    mirror_absent(m) != MIRROR_ABSENT_IGNORED);
}

/* --- the registry --------------------------------------------------------- */

static void
write_models(struct strbuf *b, struct models *m)
{
	struct models_stats s;
	struct models_age age;

	models_stats(m, &s);
	models_age(m, NULL, &age);
	gauge(b, "rekindle_models", "Models of the registry, by the copy.",
	    s.models);
	gauge(b, "rekindle_model_versions", "Their versions.", s.versions);
	gauge(b, "rekindle_model_entries_unread",
	    "Entries of their logs that count for nothing.", s.unread);
	gauge(b, "rekindle_model_logs_broken",
	    "Models whose log has a gap.", s.faults);
	gauge(b, "rekindle_models_reachable",
	    "0: the store of the registry did not answer when asked last.",
	    age.error == NULL);
}

/* --- jobs ---------------------------------------------------------------- */

struct running {
	struct api *a;
	char id[RUNNING_MAX][RK_ID];
	char *name[RUNNING_MAX];
	int n;
};

static bool
add_running(void *ctx, const struct job_row *r)
{
	struct running *v = ctx;

	memcpy(v->id[v->n], r->id, RK_ID);
	v->name[v->n] = xstrdup(r->name);
	return ++v->n < RUNNING_MAX;
}

static const struct {
	const char *metric, *key, *help;
} gauges[] = {
	{ "rekindle_job_step", "step", "Optimiser steps done." },
	{ "rekindle_job_steps", "steps_total", "Optimiser steps to be done." },
	{ "rekindle_job_epoch", "epoch", "Epochs completed." },
	{ "rekindle_job_phase", "phase",
	    "Phase of the training under way, from 1." },
	{ "rekindle_job_loss", "loss", "Training loss, latest." },
	{ "rekindle_job_accuracy", "accuracy", "Accuracy, latest." },
	{ "rekindle_job_learning_rate", "learning_rate",
	    "Learning rate of the latest step." },
	{ "rekindle_job_samples_per_second", "samples_per_second",
	    "Training speed." },
	{ "rekindle_job_stall_ratio", "stall_ratio",
	    "Share of the time that training waited for checkpoints." },
	{ "rekindle_job_data_wait_ratio", "data_wait_ratio",
	    "Share of the time that training waited for samples." },
	{ "rekindle_job_broken_samples", "broken",
	    "Samples that could not be read." },
};

static void
write_running(struct strbuf *b, struct api *a)
{
	struct store_filter f = { .states = 1u << JOB_RUNNING };
	struct running *v = xcalloc(1, sizeof(*v));

	/* Names are of [A-Za-z0-9._-]: nothing to be escaped in a label. */
	if (store_jobs(a->store, &f, NULL, RUNNING_MAX, add_running, v) !=
	    RK_OK)
		log_warn("api: no gauges of jobs: they could not be read");
	for (size_t g = 0; g < RK_ARRAY_LEN(gauges); g++) {
		head(b, gauges[g].metric, "gauge", gauges[g].help);
		for (int i = 0; i < v->n; i++) {
			const json_t *p = json_object_get(sup_progress(a->sup,
			    v->id[i]), gauges[g].key);
			if (json_is_number(p))
				sb_addf(b, "%s{id=\"%s\",name=\"%s\"} %.9g\n",
				    gauges[g].metric, v->id[i], v->name[i],
				    json_number_value(p));
		}
	}
	head(b, "rekindle_job_remote_age_seconds", "gauge",
	    "Since its newest remote checkpoint was committed.");
	for (int i = 0; i < v->n; i++) {
		double age = ship_remote_age(a->ship, v->id[i]);
		if (age >= 0)
			sb_addf(b, "rekindle_job_remote_age_seconds{id=\"%s\","
			    "name=\"%s\"} %.3f\n", v->id[i], v->name[i],
			    age);
	}
	for (int i = 0; i < v->n; i++)
		free(v->name[i]);
	free(v);
}

static void
write_jobs(struct strbuf *b, struct api *a)
{
	int64_t count[JOB_STATES] = { 0 }, threads = 0, queued = 0;
	uint64_t memory = 0;
	int running = 0;

	gauge(b, "rekindle_store_here", "0 while the database is not at its "
	    "path: it was removed or replaced.", store_here(a->store, NULL) !=
	    RK_EGONE);
	head(b, "rekindle_jobs", "gauge", "Jobs in the store, by state.");
	if (store_counts(a->store, count) == RK_OK) {
		for (int i = 0; i < JOB_STATES; i++)
			sb_addf(b, "rekindle_jobs{state=\"%s\"} %lld\n",
			    job_state_words[i], (long long)count[i]);
	}
	sup_stats(a->sup, &running, &queued, &threads, &memory);
	gauge(b, "rekindle_trainers", "Trainer processes alive.", running);
	gauge(b, "rekindle_threads_used",
	    "Threads of the capacity that running jobs hold.", threads);
	gauge(b, "rekindle_memory_used_bytes",
	    "Memory of the capacity that running jobs hold.", memory);
	gauge(b, "rekindle_jobs_checkpoints_missing",
	    "Jobs that have had a checkpoint and wait until one can be used.",
	    (double)sup_checkpoints_missing(a->sup));
	head(b, "rekindle_jobs_not_allowed", "gauge", "Jobs from the bucket "
	    "that wait for a line in the configuration, by reason.");
	for (int i = SHIP_STORE; i <= SHIP_PATH; i++)
		sb_addf(b, "rekindle_jobs_not_allowed{reason=\"%s\"} %lld\n",
		    ship_allow_words[i], (long long)sup_not_allowed(a->sup,
		    ship_allow_words[i]));
	gauge(b, "rekindle_draining", "1 while no new work is taken.",
	    sup_draining(a->sup));
	write_running(b, a);
}

static void
write_totals(struct strbuf *b, struct api *a)
{
	struct sup_totals t = { 0 };

	sup_totals(a->sup, &t);
	counter(b, "rekindle_attempts_total",
	    "Attempts at jobs since the daemon began.", t.attempts);
	counter(b, "rekindle_crashes_total", "Attempts that ended in a crash.",
	    t.crashes);
	counter(b, "rekindle_oom_kills_total",
	    "Trainers that the kernel killed for memory.", t.oom_kills);
	counter(b, "rekindle_stalls_total",
	    "Trainers killed because they said nothing.", t.stalls);
	counter(b, "rekindle_checkpoints_total", "Checkpoints committed.",
	    t.checkpoints);
	counter(b, "rekindle_checkpoint_bytes_total",
	    "Bytes of the checkpoints committed.", t.checkpoint_bytes);
	counter(b, "rekindle_lost_steps_total",
	    "Steps done again because the newest checkpoint was gone.",
	    (double)t.lost_steps);
	counter(b, "rekindle_forgotten_total",
	    "Times that a job was found to have forgotten classes of its warm "
	    "start.", (double)t.forgotten);
	counter(b, "rekindle_checkpoint_stall_seconds_total",
	    "Time that training waited for checkpoints.", t.stall_seconds);
	counter(b, "rekindle_checkpoint_write_seconds_total",
	    "Time that checkpoints took to be written.", t.write_seconds);
	counter(b, "rekindle_log_lost_bytes_total",
	    "Bytes of trainers' logs that could not be kept.",
	    (double)t.log_lost_bytes);
}

/* --- object stores ------------------------------------------------------- */

static void
write_remote(struct strbuf *b, struct api *a)
{
	struct remote_totals t = { 0 };

	remote_totals(a->remote, &t);
	counter(b, "rekindle_remote_sent_bytes_total",
	    "Bytes of bodies sent to object stores.", t.sent);
	counter(b, "rekindle_remote_received_bytes_total",
	    "Bytes of bodies received from object stores.", t.received);
	counter(b, "rekindle_remote_requests_total",
	    "Requests made to object stores.", t.requests);
	counter(b, "rekindle_remote_retries_total",
	    "Requests that were made again.", t.retries);
	counter(b, "rekindle_remote_throttled_total",
	    "Answers that asked us to slow down.", t.throttled);
	counter(b, "rekindle_remote_failures_total",
	    "Operations on object stores that failed for good.", t.failures);
	gauge(b, "rekindle_remote_upload_bytes_per_second",
	    "Measured over the last half minute in which something moved.",
	    t.up_rate);
	gauge(b, "rekindle_remote_download_bytes_per_second",
	    "Measured over the last half minute in which something moved.",
	    t.down_rate);
}

static void
write_ship(struct strbuf *b, struct api *a)
{
	struct ship_stats s = { 0 };

	ship_stats(a->ship, &s);
	head(b, "rekindle_ship_checkpoints", "gauge",
	    "Checkpoints on their way to a bucket, by what they do.");
	sb_addf(b, "rekindle_ship_checkpoints{state=\"queued\"} %lld\n"
	    "rekindle_ship_checkpoints{state=\"uploading\"} %lld\n"
	    "rekindle_ship_checkpoints{state=\"failing\"} %lld\n",
	    (long long)s.queued, (long long)s.uploading, (long long)s.failed);
	counter(b, "rekindle_ship_pushed_total",
	    "Checkpoints that became remote.", s.pushed);
	counter(b, "rekindle_ship_verified_total",
	    "Checkpoints that became verified.", s.verified);
	gauge(b, "rekindle_folders_without_record",
	    "Folders of jobs that the database does not know.",
	    sup_strays(a->sup, NULL, NULL));
	gauge(b, "rekindle_ship_missing_checkpoints",
	    "Checkpoints that were in a bucket, and are not any more.",
	    s.missing);
	counter(b, "rekindle_ship_missing_total",
	    "Verified checkpoints that were found to be missing.", s.missed);
	counter(b, "rekindle_ship_pushed_bytes_total",
	    "Bytes of checkpoints that became remote.", s.pushed_bytes);
	counter(b, "rekindle_ship_pulled_total",
	    "Checkpoints that came from a bucket.", s.pulled);
	counter(b, "rekindle_ship_pulled_bytes_total",
	    "Bytes of what was fetched.", s.pulled_bytes);
	gauge(b, "rekindle_cache_bytes", "Bytes in the cache.", s.cache_bytes);
	gauge(b, "rekindle_cache_files", "Files in the cache.", s.cache_files);
	if (s.remote_age_seconds >= 0)
		gauge(b, "rekindle_remote_checkpoint_age_seconds",
		    "Since the newest remote checkpoint was committed (or, "
		    "without one, since the job began); of the running job "
		    "where that is longest.", s.remote_age_seconds);
}

/* --- this process -------------------------------------------------------- */

static double
resident_bytes(void)
{
	unsigned long long size, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f == NULL)
		return 0;
	if (fscanf(f, "%llu %llu", &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static double
open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = -3;             /* ".", "..", and the one that we look with */

	if (d == NULL)
		return 0;
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void
write_process(struct strbuf *b, const struct stats *s)
{
	struct rusage u;
	struct rlimit lim;

	head(b, "rekindle_build_info", "gauge", "1, with the version.");
	sb_adds(b, "rekindle_build_info{version=\"" REKINDLE_VERSION "\"} 1\n");
	gauge(b, "process_resident_memory_bytes",
	    "Resident memory of the daemon.", resident_bytes());
	gauge(b, "process_open_fds", "Open file descriptors.", open_files());
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0)
		gauge(b, "process_max_fds",
		    "Most file descriptors it may open.", (double)lim.rlim_cur);
	if (getrusage(RUSAGE_SELF, &u) == 0)
		counter(b, "process_cpu_seconds_total",
		    "User and system time of the daemon.",
		    (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		    (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
	gauge(b, "process_start_time_seconds",
	    "When the daemon began to serve, since the epoch.",
	    (double)s->began_ms / 1e3);
}

void
stats_write(struct strbuf *b, struct api *a)
{
	write_jobs(b, a);
	write_totals(b, a);
	write_remote(b, a);
	write_ship(b, a);
	write_requests(b, &a->stats);
	write_doors(b, a);
	write_mirror(b, a->mirror);
	write_models(b, a->models);
	write_process(b, &a->stats);
}
