/* One operation of the contract per call, for the table of languages: the payload's "op" names it. */
#include <assert.h>

#include "tasq/tasq.h"
#include "tasq/json.h"

static const char *const statuses[] = {"ok", "denied", "invalid", "too-large", "too-many", "conflict", "unavailable", "other"};
static const char *quoted(tasq_bytes text) { return tasq_json_quote(text).ptr; }
static const char *truth(bool flag) { return flag ? "true" : "false"; }
static tasq_result refused(tasq_status s) { return tasq_retry(statuses[s], 0, "%s: %s", statuses[s], tasq_error.ptr); }

static tasq_result add(tasq_bytes payload) {
  double arg1, arg2;
  if (!tasq_json_number(tasq_json_get(payload, "arg1"), &arg1) || !tasq_json_number(tasq_json_get(payload, "arg2"), &arg2))
    return tasq_discard("invalid-payload", "expected an object with the numbers arg1 and arg2");
  return tasq_ok(tasq_format("{\"result\":%.17g}", arg1 + arg2));
}

static tasq_result see(const tasq_task *t) {
  tasq_bytes headers = tasq_text(""), upstream = tasq_text("");
  for (size_t i = 0; i < t->header_count; i++)
    headers = tasq_format("%s%s%s:%s", headers.ptr, i ? "," : "", quoted(t->headers[i].name), quoted(t->headers[i].value));
  for (size_t i = 0; i < t->upstream_count; i++) upstream = tasq_format("%s%s%s", upstream.ptr, i ? "," : "", quoted(t->upstream[i]));
  return tasq_ok(tasq_format("{\"id\":%s,\"handler\":%s,\"queue\":%s,\"attempt\":%u,\"run\":%u,\"max_retries\":%u,\"content_type\":%s,"
                             "\"enqueued_at_ms\":%llu,\"due_at_ms\":%llu,\"deadline_ms\":%llu,\"headers\":{%s},\"upstream\":[%s]}",
                             quoted(t->id), quoted(t->handler), quoted(t->queue), (unsigned)t->attempt, (unsigned)t->run, (unsigned)t->max_retries, quoted(t->content_type),
                             (unsigned long long)t->enqueued_at_ms, (unsigned long long)t->due_at_ms, (unsigned long long)t->deadline_ms, headers.ptr, upstream.ptr));
}

static tasq_result size(tasq_bytes payload) {
  tasq_bytes pad = tasq_text("");
  size_t characters = 0;
  tasq_json_string(tasq_json_get(payload, "pad"), &pad);
  for (size_t i = 0; i < pad.len; i++) characters += ((unsigned char)pad.ptr[i] & 0xc0) != 0x80;
  return tasq_ok(tasq_format("{\"size\":%zu}", characters));
}

static tasq_result big(tasq_bytes payload) {
  double bytes = 0;
  tasq_json_number(tasq_json_get(payload, "size"), &bytes);
  tasq_bytes zeros = {memset(tasq_alloc((size_t)bytes), 0, (size_t)bytes), (size_t)bytes};
  return tasq_ok(zeros);
}

static tasq_result log_lines(void) {
  tasq_header user = {tasq_text("user.id"), tasq_text("Zoë")};
  tasq_log_fields(TASQ_WARN, tasq_text("Größe 🙂"), &user, 1);
  return tasq_ok(tasq_format("{\"trace\":%s,\"error\":%s}", truth(tasq_log_enabled(TASQ_TRACE)), truth(tasq_log_enabled(TASQ_ERROR))));
}

static tasq_result context(void) {
  static const char *const stops[] = {"null", "\"cancelled\"", "\"shutting-down\""};
  tasq_progress(50, "half ✓");
  return tasq_ok(tasq_format("{\"remaining\":%llu,\"stopping\":%s}", (unsigned long long)tasq_remaining_ms(), stops[tasq_stopping()]));
}

static const char *setting(const char *name) {
  const char *value = tasq_config(name);
  return value ? quoted(tasq_text(value)) : "null";
}

static tasq_result enqueue(void) {
  tasq_header header = {tasq_text("a"), tasq_text("b")}, priority = {tasq_text("priority"), tasq_text("high")};
  tasq_new_task mail = {.handler = tasq_text("mail"), .payload = tasq_text("{\"to\":\"Zoë\"}"), .content_type = tasq_text("application/json"), .queue = tasq_text("low"),
                        .delay_ms = 5000, .headers = &header, .header_count = 1, .options = &priority, .option_count = 1};
  tasq_new_task forbidden = {.handler = tasq_text("forbidden"), .payload = tasq_text("raw")};
  tasq_bytes id;
  tasq_status s = tasq_enqueue(&mail, &id);
  if (s) return refused(s);
  s = tasq_enqueue(&forbidden, NULL);
  return tasq_ok(tasq_format("{\"id\":%s,\"error\":\"%s\",\"message\":%s}", quoted(id), statuses[s], quoted(tasq_error)));
}

static const char *stored(const char *key) {
  tasq_bytes value;
  tasq_status s = tasq_store_get(key, &value);
  return s ? quoted(tasq_text(statuses[s])) : value.ptr ? quoted(value) : "null";
}

static tasq_result store(void) {
  tasq_status s = tasq_store_put("k", tasq_text("ü"), 60000);
  if (s) return refused(s);
  const char *nothing = stored("nothing"), *before = stored("k");
  tasq_bytes held = tasq_text("ü");
  bool absent, changed, created;
  int64_t first = 0, second = 0, unused;
  tasq_store_replace("k", NULL, tasq_text("x"), 1000, &absent);
  tasq_store_replace("k", &held, tasq_text(""), 1000, &changed);
  const char *emptied = stored("k");
  tasq_store_replace("new", NULL, tasq_text("one"), 1000, &created);
  tasq_store_increment("n", 41, 0, &first);
  tasq_store_increment("n", 1, 0, &second);
  tasq_store_remove("k");
  return tasq_ok(tasq_format("[%s,%s,%s,%s,%s,%s,%lld,%lld,%s,%s,\"%s\",\"%s\"]", nothing, before, truth(absent), truth(changed), emptied, truth(created), (long long)first, (long long)second,
                             stored("k"), stored("forbidden"), statuses[tasq_store_put("forbidden", tasq_text(""), 0)], statuses[tasq_store_increment("new", 1, 0, &unused)]));
}

static tasq_result decrement(void) {
  int64_t now;
  tasq_status s = tasq_store_increment("down", -50, 0, &now);
  return s ? refused(s) : tasq_ok(tasq_format("%lld", (long long)now));
}

static tasq_result boom(tasq_bytes payload) {
  tasq_bytes message = tasq_text("");
  tasq_json_string(tasq_json_get(payload, "message"), &message);
  return tasq_retry("", 0, "%s", message.ptr);
}

__attribute__((noinline)) static int deep(volatile int n) { return deep(n + 1) + n; }

static tasq_result tasq_handle(tasq_bytes payload, const tasq_task *task) {
  tasq_bytes op;
  if (!tasq_json_valid(payload)) return tasq_discard("invalid-payload", "expected JSON");
  if (!tasq_json_string(tasq_json_get(payload, "op"), &op)) return add(payload);
  if (tasq_is(op, "task")) return see(task);
  if (tasq_is(op, "size")) return size(payload);
  if (tasq_is(op, "big")) return big(payload);
  if (tasq_is(op, "none")) return tasq_ok(tasq_text(""));
  if (tasq_is(op, "log")) return log_lines();
  if (tasq_is(op, "context")) return context();
  if (tasq_is(op, "config")) return tasq_ok(tasq_format("{\"present\":%s,\"absent\":%s}", setting("GREETING"), setting("NOPE")));
  if (tasq_is(op, "enqueue")) return enqueue();
  if (tasq_is(op, "store")) return store();
  if (tasq_is(op, "decrement")) return decrement();
  if (tasq_is(op, "boom")) return boom(payload);
  if (tasq_is(op, "discard")) return tasq_discard("no-user", "no such user");
  if (tasq_is(op, "retry")) return tasq_retry("rate-limited", 30000, "slow down");
  if (tasq_is(op, "snooze")) return tasq_snooze(60000, "closed");
  if (tasq_is(op, "panic")) assert(!"reached");
  if (tasq_is(op, "deep")) return tasq_ok(tasq_format("%d", deep(0)));
  return tasq_discard("unknown-op", "unknown op %s", op.ptr);
}
