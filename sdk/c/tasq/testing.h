/* Tests of a handler, compiled for the machine at hand and not for WebAssembly:

     #include "tasq/testing.h"
     #include "handler.c"

     int main(void) {
       tasq_expect_ok(tasq_run("{\"arg1\":5,\"arg2\":4}"), "{\"result\":9}");
       return tasq_tests_failed();
     }

   The host's functions are doubles here: settings come from tasq_set_config, the store is an array, follow-up tasks are
   kept in tasq_enqueued. What the handler logs goes to stderr. */
#ifndef TASQ_TESTING_H
#define TASQ_TESTING_H
#include "tasq.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct { tasq_bytes key, value; } tasq_entry;
typedef struct { tasq_entry list[64]; size_t count; } tasq_entries;

static tasq_entries tasq_settings, tasq_stored;
static struct { tasq_bytes handler, payload, queue; uint64_t delay_ms; } tasq_enqueued[64];
static size_t tasq_enqueued_count;
static tasq_stop tasq_told_to_stop;
static int tasq_failed_expectations;

/* ---- Running ---- */

/* One run with this payload, as a first attempt. What it returns stays until the test ends. */
static inline tasq_result tasq_run(const char *payload) {
  tasq_task task;
  memset(&task, 0, sizeof task);
  task.id = tasq_text("test"), task.handler = tasq_text("test"), task.queue = tasq_text("default"), task.content_type = tasq_text("");
  task.attempt = task.run = 1, task.max_retries = 25, task.deadline_ms = 30000;
  return tasq_handle(tasq_text(payload), &task);
}

#define tasq_expect(condition) tasq_expect_at(condition, #condition, __FILE__, __LINE__)
#define tasq_expect_ok(result, text) tasq_expect_ok_at(result, text, __FILE__, __LINE__)
#define tasq_expect_failure(result, kind, code) tasq_expect_failure_at(result, kind, code, __FILE__, __LINE__)

static inline bool tasq_expect_at(bool held, const char *what, const char *file, int line) {
  if (!held) fprintf(stderr, "%s:%d: expected %s\n", file, line, what), tasq_failed_expectations++;
  return held;
}

static inline void tasq_expect_ok_at(tasq_result r, const char *text, const char *file, int line) {
  if (r.failed) fprintf(stderr, "%s:%d: failed: %.*s\n", file, line, (int)r.as.failure.message.len, r.as.failure.message.ptr), tasq_failed_expectations++;
  else if (!tasq_is(r.as.ok, text)) fprintf(stderr, "%s:%d: got %.*s, expected %s\n", file, line, (int)r.as.ok.len, r.as.ok.ptr, text), tasq_failed_expectations++;
}

static inline void tasq_expect_failure_at(tasq_result r, tasq_failure_kind kind, const char *code, const char *file, int line) {
  if (tasq_expect_at(r.failed, "a failure", file, line)) {
    tasq_expect_at(r.as.failure.kind == kind, "another kind of failure", file, line);
    tasq_expect_at(tasq_is(r.as.failure.code, code), code, file, line);
  }
}

/* What main should return. Says on stdout how it went. */
static inline int tasq_tests_failed(void) {
  if (tasq_failed_expectations) printf("%d expectations failed\n", tasq_failed_expectations);
  else puts("all tests passed");
  tasq_free_all();
  return tasq_failed_expectations != 0;
}

/* ---- The doubles ---- */

static inline tasq_bytes tasq_kept(const char *p, size_t len) {
  tasq_bytes b = {(const char *)memcpy(tasq_alloc(len), p ? p : "", len), len};
  return b;
}

static inline tasq_entry *tasq_entry_of(tasq_entries *all, const char *key, size_t len) {
  for (size_t i = 0; i < all->count; i++) if (all->list[i].key.len == len && !memcmp(all->list[i].key.ptr, key, len)) return &all->list[i];
  return NULL;
}

static inline void tasq_write(tasq_entries *all, const char *key, size_t len, const char *value, size_t value_len) {
  tasq_entry *e = tasq_entry_of(all, key, len);
  if (!e && all->count == 64) abort();
  if (!e) e = &all->list[all->count++], e->key = tasq_kept(key, len);
  e->value = tasq_kept(value, value_len);
}

static inline void tasq_set_config(const char *name, const char *value) { tasq_write(&tasq_settings, name, strlen(name), value, strlen(value)); }

static inline void tasq_show(const char *what, const char *text, size_t len) { fprintf(stderr, "%s %.*s\n", what, (int)len, text); }

uint64_t tasq_remaining_ms(void) { return 30000; }
void tasq_raw_stopping(tasq_maybe_stop *out) { out->some = tasq_told_to_stop != TASQ_GO_ON, out->stop = (uint8_t)(tasq_told_to_stop - 1); }
void tasq_raw_progress(uint32_t percent, const char *note, size_t len) { (void)percent, tasq_show("progress", note, len); }
bool tasq_log_enabled(tasq_level level) { return level >= TASQ_INFO; }
void tasq_raw_log(tasq_level level, const char *text, size_t len, const tasq_header *fields, size_t count) {
  static const char *const names[] = {"trace", "debug", "info", "warn", "error"};
  tasq_show(names[level], text, len);
  for (size_t i = 0; i < count; i++) tasq_show("  field", fields[i].name.ptr, fields[i].name.len);
}
void tasq_raw_config_get(const char *name, size_t len, tasq_maybe *out) {
  tasq_entry *e = tasq_entry_of(&tasq_settings, name, len);
  out->some = e != NULL;
  if (e) out->value = e->value;
}
void tasq_raw_enqueue(const char *handler, size_t handler_len, const char *payload, size_t payload_len, const char *type, size_t type_len, const char *queue, size_t queue_len,
                      uint64_t delay_ms, const char *key, size_t key_len, const tasq_header *headers, size_t header_count, const tasq_header *options, size_t option_count, tasq_answer *out) {
  (void)type, (void)type_len, (void)key, (void)key_len, (void)headers, (void)header_count, (void)options, (void)option_count;
  if (tasq_enqueued_count == 64) abort();
  tasq_enqueued[tasq_enqueued_count].handler = tasq_kept(handler, handler_len);
  tasq_enqueued[tasq_enqueued_count].payload = tasq_kept(payload, payload_len);
  tasq_enqueued[tasq_enqueued_count].queue = tasq_kept(queue, queue_len);
  tasq_enqueued[tasq_enqueued_count++].delay_ms = delay_ms;
  out->failed = 0, out->as.text = tasq_format("task-%zu", tasq_enqueued_count);
}
void tasq_raw_get(const char *key, size_t len, tasq_answer *out) {
  tasq_entry *e = tasq_entry_of(&tasq_stored, key, len);
  out->failed = 0, out->as.option.some = e != NULL;
  if (e) out->as.option.value = e->value;
}
void tasq_raw_put(const char *key, size_t len, const char *value, size_t value_len, uint64_t ttl_ms, tasq_answer *out) {
  (void)ttl_ms, out->failed = 0;
  tasq_write(&tasq_stored, key, len, value, value_len);
}
void tasq_raw_replace(const char *key, size_t len, uint32_t some, const char *expected, size_t expected_len, const char *value, size_t value_len, uint64_t ttl_ms, tasq_answer *out) {
  tasq_entry *e = tasq_entry_of(&tasq_stored, key, len);
  (void)ttl_ms, out->failed = 0;
  out->as.flag = e ? some && e->value.len == expected_len && !memcmp(e->value.ptr, expected, expected_len) : !some;
  if (out->as.flag) tasq_write(&tasq_stored, key, len, value, value_len);
}
void tasq_raw_increment(const char *key, size_t len, int32_t by, uint64_t ttl_ms, tasq_count *out) {
  tasq_entry *e = tasq_entry_of(&tasq_stored, key, len);
  (void)ttl_ms, out->failed = 0, out->as.now = (e ? strtoll(e->value.ptr, NULL, 10) : 0) + by;
  tasq_bytes text = tasq_format("%lld", (long long)out->as.now);
  tasq_write(&tasq_stored, key, len, text.ptr, text.len);
}
void tasq_raw_remove(const char *key, size_t len, tasq_answer *out) {
  tasq_entry *e = tasq_entry_of(&tasq_stored, key, len);
  out->failed = 0;
  if (e) *e = tasq_stored.list[--tasq_stored.count];
}

#ifdef __cplusplus
}
#endif
#endif
