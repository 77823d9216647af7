/* A tasq handler in C or C++: include this in one file and define tasq_handle there. Nothing but libc.

   It is the canonical ABI of the WIT world tasq:handler/task-handler@0.1.0 on wasm32, where the contract's
   records have the layout of the structs below: nothing is converted.
   Whatever the host hands over, and whatever tasq_alloc and tasq_format return, lives until the run ends and
   is freed then. Bytes from the host are followed by a 0 that `len` doesn't count, so `ptr` is a C string. */
#ifndef TASQ_H
#define TASQ_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct { const char *ptr; size_t len; } tasq_bytes;
typedef struct { tasq_bytes name, value; } tasq_header;

/* The task that is being run. Times are Unix time in milliseconds. */
typedef struct {
  tasq_bytes id, handler, queue;
  uint32_t attempt, run, max_retries;
  tasq_bytes content_type;
  uint64_t enqueued_at_ms, due_at_ms, deadline_ms;
  const tasq_header *headers;
  size_t header_count;
  const tasq_bytes *upstream; /* results of the tasks that this one follows */
  size_t upstream_count;
} tasq_task;

typedef enum { TASQ_RETRY, TASQ_DISCARD, TASQ_SNOOZE } tasq_failure_kind;
typedef enum { TASQ_TRACE, TASQ_DEBUG, TASQ_INFO, TASQ_WARN, TASQ_ERROR } tasq_level;
typedef enum { TASQ_GO_ON, TASQ_CANCELLED, TASQ_SHUTTING_DOWN } tasq_stop;
/* What enqueue and the store answer. tasq_error has the text of the last answer that wasn't TASQ_OK. */
typedef enum { TASQ_OK, TASQ_DENIED, TASQ_INVALID, TASQ_TOO_LARGE, TASQ_TOO_MANY, TASQ_CONFLICT, TASQ_UNAVAILABLE, TASQ_OTHER } tasq_status;

/* Leave out what you don't need: {.handler = …, .payload = …} is a task on that handler's queue. */
typedef struct {
  tasq_bytes handler, payload, content_type, queue;
  uint64_t delay_ms;
  tasq_bytes unique_key;
  const tasq_header *headers;
  size_t header_count;
  const tasq_header *options; /* named as in the batch format: priority, max_retries, timeout and so on */
  size_t option_count;
} tasq_new_task;

/* What a run comes to. Made by tasq_ok, tasq_retry, tasq_discard, tasq_snooze. */
typedef struct {
  uint8_t failed;
  union {
    tasq_bytes ok;
    struct { uint8_t kind; tasq_bytes message, code; uint64_t retry_after_ms; } failure;
  } as;
} tasq_result;

/* ---- Yours --------------------------------------------------------------------------- */

static tasq_result tasq_handle(tasq_bytes payload, const tasq_task *task);

/* ---- Memory and text ------------------------------------------------------------------ */

static union tasq_block { union tasq_block *next; uint64_t align; } *tasq_blocks;

/* Freed when the run ends. Traps where the memory limit is reached: the host calls that out-of-memory. */
static void *tasq_alloc(size_t size) {
  union tasq_block *b = (union tasq_block *)malloc(sizeof *b + size + 1);
  if (!b) __builtin_trap();
  b->next = tasq_blocks;
  tasq_blocks = b;
  ((char *)(b + 1))[size] = 0;
  return b + 1;
}

static inline tasq_bytes tasq_text(const char *s) { tasq_bytes b = {s, strlen(s)}; return b; }
static inline bool tasq_is(tasq_bytes b, const char *s) { return b.len == strlen(s) && !memcmp(b.ptr, s, b.len); }

/* The same text, or a copy with a `?` for each byte that isn't UTF-8. */
static inline tasq_bytes tasq_utf8(tasq_bytes b) {
  if (!b.len || tasq_utf8_flaw(b.ptr, b.ptr + b.len) == b.ptr + b.len) return b;
  char *s = (char *)memcpy(tasq_alloc(b.len), b.ptr, b.len);
  tasq_utf8_mend(s, b.len);
  b.ptr = s;
  return b;
}

static tasq_bytes tasq_vformat(const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, format, args);
  char *s = (char *)tasq_alloc(n < 0 ? 0 : (size_t)n);
  if (n >= 0) vsnprintf(s, (size_t)n + 1, format, again);
  va_end(again);
  tasq_bytes b = {s, n < 0 ? 0 : (size_t)n};
  return b;
}

#define TASQ_PRINTF(at) __attribute__((format(printf, at, at + 1), unused)) static
#define TASQ_FORMAT(into) va_list args; va_start(args, format); tasq_bytes into = tasq_vformat(format, args); va_end(args)

TASQ_PRINTF(1) tasq_bytes tasq_format(const char *format, ...) { TASQ_FORMAT(text); return text; }

/* ---- Outcomes -------------------------------------------------------------------------- */

static inline tasq_result tasq_fail(tasq_failure_kind kind, tasq_bytes message, const char *code, uint64_t retry_after_ms) {
  tasq_result r;
  memset(&r, 0, sizeof r);
  r.failed = 1;
  r.as.failure.kind = (uint8_t)kind;
  r.as.failure.message = tasq_utf8(message);
  r.as.failure.code = tasq_utf8(tasq_text(code));
  r.as.failure.retry_after_ms = retry_after_ms;
  return r;
}

/* The bytes are read after tasq_handle has returned: static, tasq_alloc'd or the host's, never a local array. */
static inline tasq_result tasq_ok(tasq_bytes data) { tasq_result r; memset(&r, 0, sizeof r); r.as.ok = data; return r; }
/* "" and 0 where you have no code or no delay of your own. */
TASQ_PRINTF(3) tasq_result tasq_retry(const char *code, uint64_t after_ms, const char *format, ...) { TASQ_FORMAT(m); return tasq_fail(TASQ_RETRY, m, code, after_ms); }
TASQ_PRINTF(2) tasq_result tasq_discard(const char *code, const char *format, ...) { TASQ_FORMAT(m); return tasq_fail(TASQ_DISCARD, m, code, 0); }
TASQ_PRINTF(2) tasq_result tasq_snooze(uint64_t after_ms, const char *format, ...) { TASQ_FORMAT(m); return tasq_fail(TASQ_SNOOZE, m, "", after_ms); }

/* ---- The host --------------------------------------------------------------------------- */

#ifdef __wasm__
#define TASQ_IMPORT(interface, name) __attribute__((import_module("tasq:handler/" interface "@0.1.0"), import_name(name)))
#else
#define TASQ_IMPORT(interface, name) /* testing.h has the doubles */
#endif

/* What the host writes when it answers. */
typedef struct { uint8_t some, stop; } tasq_maybe_stop;
typedef struct { uint8_t some; tasq_bytes value; } tasq_maybe;
typedef struct { uint8_t kind; tasq_bytes message; } tasq_host_error;
typedef struct {
  uint8_t failed;
  union { tasq_host_error error; tasq_bytes text; tasq_maybe option; bool flag; } as;
} tasq_answer;
typedef struct { uint8_t failed; union { int64_t now; tasq_host_error error; } as; } tasq_count;

TASQ_IMPORT("context", "remaining-ms") uint64_t tasq_remaining_ms(void); /* until the host stops this run */
TASQ_IMPORT("context", "stopping") void tasq_raw_stopping(tasq_maybe_stop *);
TASQ_IMPORT("context", "progress") void tasq_raw_progress(uint32_t percent, const char *, size_t);
TASQ_IMPORT("log", "enabled") bool tasq_log_enabled(tasq_level); /* false where a message would be dropped */
TASQ_IMPORT("log", "log") void tasq_raw_log(tasq_level, const char *, size_t, const tasq_header *, size_t);
TASQ_IMPORT("config", "get") void tasq_raw_config_get(const char *, size_t, tasq_maybe *);
TASQ_IMPORT("producer", "enqueue") void tasq_raw_enqueue(const char *, size_t, const char *, size_t, const char *, size_t, const char *, size_t,
                                                        uint64_t, const char *, size_t, const tasq_header *, size_t, const tasq_header *, size_t, tasq_answer *);
TASQ_IMPORT("store", "get") void tasq_raw_get(const char *, size_t, tasq_answer *);
TASQ_IMPORT("store", "put") void tasq_raw_put(const char *, size_t, const char *, size_t, uint64_t, tasq_answer *);
TASQ_IMPORT("store", "replace") void tasq_raw_replace(const char *, size_t, uint32_t, const char *, size_t, const char *, size_t, uint64_t, tasq_answer *);
TASQ_IMPORT("store", "increment") void tasq_raw_increment(const char *, size_t, int32_t, uint64_t, tasq_count *);
TASQ_IMPORT("store", "remove") void tasq_raw_remove(const char *, size_t, tasq_answer *);

#define TASQ_OF(b) (b).ptr, (b).len

TASQ_PRINTF(2) void tasq_progress(uint8_t percent, const char *format, ...) {
  TASQ_FORMAT(note);
  note = tasq_utf8(note);
  tasq_raw_progress(percent, TASQ_OF(note));
}

/* Names and values of `fields` have to be UTF-8. */
static inline void tasq_log_fields(tasq_level level, tasq_bytes message, const tasq_header *fields, size_t count) {
  message = tasq_utf8(message);
  tasq_raw_log(level, TASQ_OF(message), fields, count);
}

TASQ_PRINTF(2) void tasq_log(tasq_level level, const char *format, ...) {
  if (!tasq_log_enabled(level)) return;
  TASQ_FORMAT(message);
  tasq_log_fields(level, message, NULL, 0);
}

static inline tasq_stop tasq_stopping(void) {
  tasq_maybe_stop r;
  tasq_raw_stopping(&r);
  return (tasq_stop)(r.some ? r.stop + 1 : 0);
}

/* NULL for a name that the manifest doesn't grant. */
static inline const char *tasq_config(const char *name) {
  tasq_maybe r;
  tasq_raw_config_get(name, strlen(name), &r);
  return r.some ? r.value.ptr : NULL;
}

static tasq_bytes tasq_error;

static inline tasq_status tasq_check(uint8_t failed, const tasq_host_error *e) {
  if (!failed) return TASQ_OK;
  tasq_error = e->message;
  return (tasq_status)(e->kind + 1);
}

/* A follow-up task, enqueued once this run has succeeded. `id`, which may be NULL, is the one it will have. */
static inline tasq_status tasq_enqueue(const tasq_new_task *t, tasq_bytes *id) {
  tasq_answer r;
  tasq_raw_enqueue(TASQ_OF(t->handler), TASQ_OF(t->payload), TASQ_OF(t->content_type), TASQ_OF(t->queue), t->delay_ms, TASQ_OF(t->unique_key),
                   t->headers, t->header_count, t->options, t->option_count, &r);
  if (!r.failed && id) *id = r.as.text;
  return tasq_check(r.failed, &r.as.error);
}

/* An absent key is TASQ_OK with value->ptr NULL. */
static inline tasq_status tasq_store_get(const char *key, tasq_bytes *value) {
  tasq_answer r;
  tasq_raw_get(key, strlen(key), &r);
  value->ptr = !r.failed && r.as.option.some ? r.as.option.value.ptr : NULL;
  value->len = value->ptr ? r.as.option.value.len : 0;
  return tasq_check(r.failed, &r.as.error);
}

/* ttl_ms 0 keeps the value until it is removed. */
static inline tasq_status tasq_store_put(const char *key, tasq_bytes value, uint64_t ttl_ms) {
  tasq_answer r;
  tasq_raw_put(key, strlen(key), TASQ_OF(value), ttl_ms, &r);
  return tasq_check(r.failed, &r.as.error);
}

/* Writes where the key holds `expected`, with NULL where it is absent, and says in `done` whether it did.
   Here and below ttl_ms 0 keeps the present expiry. */
static inline tasq_status tasq_store_replace(const char *key, const tasq_bytes *expected, tasq_bytes value, uint64_t ttl_ms, bool *done) {
  tasq_answer r;
  tasq_raw_replace(key, strlen(key), expected != NULL, expected ? expected->ptr : NULL, expected ? expected->len : 0, TASQ_OF(value), ttl_ms, &r);
  *done = !r.failed && r.as.flag;
  return tasq_check(r.failed, &r.as.error);
}

/* `now` is the counter's new value. */
static inline tasq_status tasq_store_increment(const char *key, int32_t by, uint64_t ttl_ms, int64_t *now) {
  tasq_count r;
  tasq_raw_increment(key, strlen(key), by, ttl_ms, &r);
  if (!r.failed) *now = r.as.now;
  return tasq_check(r.failed, &r.as.error);
}

static inline tasq_status tasq_store_remove(const char *key) {
  tasq_answer r;
  tasq_raw_remove(key, strlen(key), &r);
  return tasq_check(r.failed, &r.as.error);
}

/* ---- Exports ------------------------------------------------------------------------------ */

static inline void tasq_free_all(void) {
  while (tasq_blocks) {
    union tasq_block *next = tasq_blocks->next;
    free(tasq_blocks);
    tasq_blocks = next;
  }
}

#ifdef __wasm__
/* Payload and task are more than 16 flat values, so they come as one block with this layout. */
struct tasq_arguments { tasq_bytes payload; tasq_task task; };

#ifdef __cplusplus
#define TASQ_ASSERT static_assert
#else
#define TASQ_ASSERT _Static_assert
#endif
TASQ_ASSERT(sizeof(struct tasq_arguments) == 96 && offsetof(struct tasq_arguments, task.upstream) == 88, "layout of (list<u8>, task)");
TASQ_ASSERT(sizeof(tasq_result) == 40 && offsetof(tasq_result, as.failure.retry_after_ms) == 32, "layout of result<list<u8>, failure>");

__attribute__((export_name("cabi_realloc"))) void *tasq_export_realloc(void *old, size_t old_size, size_t align, size_t size) {
  (void)align; /* 8 is the most that this world asks for */
  void *p = tasq_alloc(size);
  if (old_size) memcpy(p, old, old_size < size ? old_size : size);
  return p;
}

__attribute__((export_name("tasq:handler/handler@0.1.0#handle"))) tasq_result *tasq_export_handle(const struct tasq_arguments *a) {
  static tasq_result result;
  result = tasq_handle(a->payload, &a->task);
  return &result;
}

__attribute__((export_name("cabi_post_tasq:handler/handler@0.1.0#handle"))) void tasq_export_post(const tasq_result *r) {
  (void)r;
  tasq_free_all();
}
#endif

#ifdef __cplusplus
}
#endif
#endif
