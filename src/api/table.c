/*
 * What is served where.  The router, the checks of parameters and bodies, the
 * labels of /metrics and the OpenAPI document all read this table.
 *
 * answers: "STATUS:SCHEMA", or "STATUS" alone for a problem (4xx, 5xx) or for
 * no body.  Every route may also answer 400, 403, 421, 500 and 503.
 */
#include "impl.h"

#define JOB   "/v1/jobs/{id}"
#define CKPT  JOB "/checkpoints/{checkpoint}"
#define VERBS "202:Job 404 409 415 422 507"

const struct route routes[] = {
	{ "POST", "/v1/jobs", "submitJob", h_submit,
	    "Submit a job, or ask what would be refused of it", "dry_run",
	    "JobSpec", "200:DryRun 201:Job 409 413 415 422 504 507",
	    ROUTE_ETAG },
	{ "GET", "/v1/jobs", "listJobs", h_jobs,
	    "Jobs, newest first, a page at a time",
	    "state label name id_prefix limit cursor", NULL,
	    "200:JobPage", ROUTE_CACHE },
	{ "GET", JOB, "getJob", h_job,
	    "One job, with its specification and its warm start's plan", "",
	    NULL, "200:Job 304 404", ROUTE_CACHE | ROUTE_ETAG },
	{ "PATCH", JOB, "patchJob", h_job_patch,
	    "Change priority, labels or what checkpoints are kept", "",
	    "JobPatch", "200:Job 404 409 412 413 415 422 507",
	    ROUTE_ETAG | ROUTE_IF_MATCH },
	{ "DELETE", JOB, "deleteJob", h_job_delete,
	    "Delete an ended job and its folder", "", NULL,
	    "204 404 409 507", 0 },

	{ "GET", JOB "/plan", "getPlan", h_plan,
	    "What its warm start did, tensor by tensor", "", NULL,
	    "200:Plan 404", 0 },
	{ "POST", "/v1/warm-starts/plan", "planWarmStart", h_warm_plan,
	    "What the warm start of a job would do, without training", "",
	    "JobSpec", "200:Plan 409 413 415 422 504 507", 0 },
	{ "POST", "/v1/warm-starts/suggest", "suggestWarmStart", h_suggest,
	    "Which jobs and versions of models a job would best begin from",
	    "limit", "JobSpec", "200:Suggestions 409 413 415 422 504 507", 0 },
	{ "GET", "/v1/warm-starts/suggest", "suggestForJob", h_suggest_job,
	    "The same for a job that was submitted", "job limit", NULL,
	    "200:Suggestions 404 409 422 504 507", 0 },
	{ "POST", "/v1/weights/inspect", "inspectWeights", h_weights_inspect,
	    "What is in a file of weights that an address leads to", "",
	    "WeightsAddress", "200:Weights 409 413 415 422 504 507", 0 },
	{ "POST", "/v1/weights/fetch", "fetchWeights", h_weights_fetch,
	    "The file of weights that an address leads to, whole or a Range, "
	    "once it is known to be one", "", "Address",
	    "200:binary 206:binary 409 413 415 416 422 504 507", 0 },

	{ "POST", JOB "/start", "startJob", h_start,
	    "Put a held job in the queue", "", "Empty", VERBS, ROUTE_ETAG },
	{ "POST", JOB "/pause", "pauseJob", h_pause,
	    "Commit a checkpoint and leave the machine", "", "Empty", VERBS,
	    ROUTE_ETAG },
	{ "POST", JOB "/resume", "resumeJob", h_resume,
	    "Go on, from the latest checkpoint or the one named; with dry_run "
	    "say what would be refused of the job with these overrides, as "
	    "it would begin anew", "dry_run",
	    "Resume", "200:DryRun 202:Job 404 409 415 422 504 507",
	    ROUTE_ETAG },
	{ "POST", JOB "/cancel", "cancelJob", h_cancel,
	    "End a job; its checkpoints stay", "", "Empty", VERBS,
	    ROUTE_ETAG },
	{ "POST", JOB "/retry", "retryJob", h_retry,
	    "Queue a failed or cancelled job again", "", "Empty", VERBS,
	    ROUTE_ETAG },

	{ "GET", JOB "/checkpoints", "listCheckpoints", h_checkpoints,
	    "Its checkpoints, newest first", "limit cursor", NULL,
	    "200:CheckpointPage 404", 0 },
	{ "POST", JOB "/checkpoints", "checkpointNow", h_checkpoint_now,
	    "Save now, and answer when it is committed", "", "CheckpointName",
	    "201:Checkpoint 404 409 413 415 422 504 507", 0 },
	{ "GET", CKPT, "getCheckpoint", h_checkpoint,
	    "One checkpoint", "", NULL, "200:Checkpoint 404", 0 },
	{ "PATCH", CKPT, "nameCheckpoint", h_checkpoint_patch,
	    "Give it a name, or (null) take its names away", "",
	    "CheckpointPatch", "200:Checkpoint 404 413 415 422 507", 0 },
	{ "DELETE", CKPT, "deleteCheckpoint", h_checkpoint_delete,
	    "Delete it and its names; the latest stays", "", NULL,
	    "204 404 409 507", 0 },
	{ "GET", CKPT "/files/{file}", "getCheckpointFile", h_checkpoint_file,
	    "One of its files, whole or a Range; also model.pdparams, "
	    "model.pdopt, model.pt and optimizer.pt, as Paddle and PyTorch "
	    "load them, and model.safetensors of one in shards", "", NULL,
	    "200:binary 206:binary 304 404 409 416 504", 0 },

	{ "GET", JOB "/metrics", "listMetrics", h_metrics_page,
	    "What the trainer measured, oldest first; or followed",
	    "attempt split limit cursor after follow", NULL,
	    "200:MetricPage 204 404", ROUTE_FOLLOW },
	{ "GET", JOB "/evaluations", "listEvaluations", h_evaluations,
	    "Its evaluations, oldest first, with their figures",
	    "limit cursor after", NULL, "200:EvaluationPage 404", 0 },
	{ "GET", JOB "/evaluations/{evaluation}", "getEvaluation", h_evaluation,
	    "One evaluation: each class, the confusion matrix, calibration",
	    "", NULL, "200:Evaluation 404", 0 },
	{ "GET", JOB "/predictions", "getPredictions", h_predictions,
	    "Of a job of kind predict or evaluate: a line of JSON a sample, "
	    "all so far, or a Range", "", NULL,
	    "200:lines 206:lines 304 404 416 504 507", 0 },
	{ "GET", JOB "/report", "getReport", h_report,
	    "Of a job of kind predict or evaluate that has succeeded: counts, "
	    "figures, and where labels are known the worst errors", "", NULL,
	    "200:Report 304 404 504 507", 0 },
	{ "GET", JOB "/log", "getLog", h_log,
	    "What the trainer wrote; or followed, a line an event",
	    "tail offset follow", NULL, "200:text 204 404", ROUTE_FOLLOW },
	{ "GET", JOB "/events", "listEvents", h_events,
	    "What happened to it, oldest first; or followed",
	    "limit cursor after follow", NULL, "200:EventPage 204 404",
	    ROUTE_FOLLOW },
	{ "GET", JOB "/attempts", "listAttempts", h_attempts,
	    "Each run of a trainer, oldest first", "limit cursor after", NULL,
	    "200:AttemptPage 404", 0 },
	{ "GET", "/v1/events", "followEvents", h_all_events,
	    "All jobs' events, as they happen", "after", NULL, "200:Event",
	    ROUTE_STREAM },
	{ "POST", "/v1/drain", "drain", h_drain,
	    "Every trainer commits and leaves; no new work is taken", "",
	    "Drain", "200:Rehearsal 202:Draining 413 415 422", 0 },
	{ "POST", "/v1/adopt", "adopt", h_adopt,
	    "Take jobs back from folders that the database has no record of: "
	    "one, or a hundred a request; paused, unless they had ended", "",
	    "Adopt", "200:Adopted 404 409 413 415 422 507", 0 },
	{ "GET", "/v1/status", "status", h_status,
	    "The daemon: its mirror, its cloud, what is being shipped", "",
	    NULL, "200:Status", 0 },

#include "models_rows.inc"
#include "registrations_rows.inc"

	{ "GET", "/healthz", "health", h_health,
	    "Is the daemon alive", "", NULL, "200:Health", 0 },
	{ "GET", "/readyz", "ready", h_ready,
	    "Would it take work now", "", NULL, "200:Ready", 0 },
	{ "GET", "/metrics", "prometheus", h_prometheus,
	    "Measurements of the daemon, for Prometheus", "", NULL,
	    "200:text", 0 },
	{ "GET", "/openapi.json", "openapi", h_openapi,
	    "This document", "", NULL, "200:OpenApi", 0 },
};
const size_t nroutes = RK_ARRAY_LEN(routes);

const struct param query_params[] = {
	{ "state", "{type: string, pattern: '^[a-z]+(,[a-z]+)*$'}",
	    "Only these states, by commas" },
	{ "label", "{type: string}",
	    "Only those with this label: KEY=VALUE, or KEY with any value; of "
	    "versions also more of them, by commas" },
	{ "name", "{type: string}", "Only jobs of exactly this name" },
	{ "id_prefix", "{type: string, pattern: '^[0-9a-z]{0,26}$'}",
	    "Only jobs whose id begins so" },
	{ "limit", "{type: integer, minimum: 1, maximum: 500}",
	    "Entries on a page; 50 (of metrics 500) unless said" },
	{ "cursor", "{type: string}",
	    "`next` of the page before; there is no more when it was null" },
	{ "after", "{type: integer, minimum: 0}",
	    "Go on behind this place: `after` of an earlier answer" },
	{ "author", "{type: string}", "Only those of this author" },
	{ "metric", "{type: string}",
	    "Only those whose metrics are so: METRIC OP NUMBER, OP being < <= "
	    "= != >= or >; more by commas" },
	{ "sort", "{type: string}",
	    "created or a metric, and only those that have it; a - before it: "
	    "the highest first" },
	{ "deleted", "{type: boolean}", "Those that were deleted, too" },
	{ "job", "{type: string}", "Only those that came from this job" },
	{ "digest", "{type: string}",
	    "Only those whose model has this SHA-256" },
	{ "by", "{type: string, maxLength: 256}", "Who does it" },
	{ "attempt", "{type: integer, minimum: 1}",
	    "Only what this attempt wrote" },
	{ "split", "{type: string}", "Only this split: train or validation" },
	{ "dry_run", "{type: boolean}",
	    "Submit nothing: do all that comes before a first step, data "
	    "included, and say what would be refused" },
	{ "job", "{type: string, pattern: '^[0-9a-z]{26}$'}",
	    "The id of the job that would begin from it" },
	{ "follow", "{type: boolean}",
	    "Stay, and get what comes as server-sent events; so does "
	    "`Accept: text/event-stream`" },
	{ "tail", "{type: integer, minimum: 0, maximum: 1000000}",
	    "Only so many of the last lines" },
	{ "offset", "{type: integer, minimum: 0}",
	    "From this byte on; the answer's Rekindle-Offset is where it "
	    "ended.  Of a log that outgrew its limit the oldest bytes are "
	    "gone, and the others keep their offsets" },
	{ "with", "{type: string}",
	    "The version to compare with: N or an alias of the same model, "
	    "NAME/N or NAME@ALIAS of any" },
	{ NULL, NULL, NULL }
};

const struct param path_params[] = {
	{ "id", "{type: string, pattern: '^[0-9a-z]{26}$'}", "The job's id" },
	{ "registration", "{type: string, pattern: '^[0-9a-z]{26}$'}",
	    "The registration's id" },
	{ "checkpoint", "{type: string}",
	    "latest, best, step:N, a name that a person gave, or a folder" },
	{ "model", "{type: string}", "The model's name" },
	{ "version", "{type: string}", "A version's number, an alias, or latest" },
	{ "alias", "{type: string}", "The alias' name" },
	{ "evaluation", "{type: string}",
	    "Its number, step:N (the newest of that step) or latest" },
	{ "file", "{type: string}",
	    "checkpoint.json or a file that it lists; or one that is made of "
	    "it: the model as model.pdparams or model.pt, its optimizer's "
	    "state as model.pdopt or optimizer.pt" },
	{ NULL, NULL, NULL }
};
