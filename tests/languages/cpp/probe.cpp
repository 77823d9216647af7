// One operation of the contract per call, for the table of languages: the payload's "op" names it.
#include <array>
#include <cassert>
#include <charconv>
#include <cmath>

#include "tasq/tasq.hpp"
#include "tasq/json.h"

using namespace std::string_literals;
using value = tasq_bytes; // a part of the payload

static std::string quoted(std::string_view text) { return std::string(tasq::view(tasq_json_quote(tasq::raw(text)))); }
static std::string truth(bool flag) { return flag ? "true" : "false"; }
static std::string name(const tasq::error &e) {
  return std::array{"denied", "invalid", "too-large", "too-many", "conflict", "unavailable", "other"}[e.kind];
}
static tasq::result refused(const tasq::error &e) { return tasq::retry(name(e) + ": " + std::string(e.message), 0, name(e)); }

static tasq::result add(value payload) {
  double arg1, arg2;
  if (!tasq_json_number(tasq_json_get(payload, "arg1"), &arg1) || !tasq_json_number(tasq_json_get(payload, "arg2"), &arg2))
    return tasq::discard("expected an object with the numbers arg1 and arg2", "invalid-payload");
  char sum[32];
  auto end = std::to_chars(sum, sum + sizeof sum, arg1 + arg2).ptr;
  return "{\"result\":" + std::string(sum, end) + "}";
}

static std::string list(const auto &items, auto each) {
  std::string all;
  for (auto &item : items) all += (all.empty() ? "" : ",") + each(item);
  return all;
}

static tasq::result see(const tasq::task &t) {
  auto text = [](const char *field, std::string_view of) { return "\""s + field + "\":" + quoted(of) + ","; };
  auto number = [](const char *field, auto of) { return "\""s + field + "\":" + std::to_string(of) + ","; };
  return "{" + text("id", t.id) + text("handler", t.handler) + text("queue", t.queue) + text("content_type", t.content_type) +
         number("attempt", t.attempt) + number("run", t.run) + number("max_retries", t.max_retries) + number("enqueued_at_ms", t.enqueued_at_ms) +
         number("due_at_ms", t.due_at_ms) + number("deadline_ms", t.deadline_ms) + "\"headers\":{" +
         list(t.headers, [](auto &h) { return quoted(h.name) + ":" + quoted(h.value); }) + "},\"upstream\":[" +
         list(t.upstream, [](auto &u) { return quoted(u); }) + "]}";
}

static tasq::result size(value payload) {
  tasq_bytes pad = tasq_text("");
  tasq_json_string(tasq_json_get(payload, "pad"), &pad);
  std::size_t characters = 0;
  for (unsigned char byte : tasq::view(pad)) characters += (byte & 0xc0) != 0x80;
  return "{\"size\":" + std::to_string(characters) + "}";
}

static tasq::result big(value payload) {
  double bytes = 0;
  tasq_json_number(tasq_json_get(payload, "size"), &bytes);
  return std::string(std::size_t(bytes), 'x');
}

static tasq::result log_lines() {
  tasq::log(tasq::level::warn, "Größe 🙂", {{"user.id", "Zoë"}});
  return "{\"trace\":" + truth(tasq::log_enabled(tasq::level::trace)) + ",\"error\":" + truth(tasq::log_enabled(tasq::level::error)) + "}";
}

static tasq::result context() {
  tasq::progress(50, "half ✓");
  auto stop = tasq::stopping();
  auto stopping = !stop ? "null" : *stop == tasq::stop::cancelled ? "\"cancelled\"" : "\"shutting-down\"";
  return "{\"remaining\":" + std::to_string(tasq::remaining_ms()) + ",\"stopping\":" + stopping + "}";
}

static std::string setting(const char *of) {
  auto value = tasq::config(of);
  return value ? quoted(*value) : "null";
}

static tasq::result enqueue() {
  auto id = tasq::enqueue({.handler = "mail", .payload = "{\"to\":\"Zoë\"}", .content_type = "application/json", .queue = "low", .delay_ms = 5000,
                           .headers = {{"a", "b"}}, .options = {{"priority", "high"}}});
  if (!id) return refused(id.error());
  auto forbidden = tasq::enqueue({.handler = "forbidden", .payload = "raw"});
  if (forbidden) return tasq::discard("it was not refused");
  return "{\"id\":" + quoted(*id) + ",\"error\":" + quoted(name(forbidden.error())) + ",\"message\":" + quoted(forbidden.error().message) + "}";
}

static std::string stored(const char *key) {
  auto found = tasq::store::get(key);
  return !found ? quoted(name(found.error())) : *found ? quoted(**found) : "null";
}
template <class T> static std::string fails(const std::expected<T, tasq::error> &answer) { return quoted(answer ? "ok" : name(answer.error())); }

static tasq::result store() {
  namespace store = tasq::store;
  if (auto put = store::put("k", "ü", 60000); !put) return refused(put.error());
  auto before = stored("k");
  bool absent = store::replace("k", {}, "x", 1000).value_or(false), changed = store::replace("k", "ü", "", 1000).value_or(false);
  auto emptied = stored("k");
  bool created = store::replace("new", {}, "one", 1000).value_or(false);
  auto first = store::increment("n", 41).value_or(0), second = store::increment("n", 1).value_or(0);
  store::remove("k");
  return "[" + stored("nothing") + "," + before + "," + truth(absent) + "," + truth(changed) + "," + emptied + "," + truth(created) + "," + std::to_string(first) + "," +
         std::to_string(second) + "," + stored("k") + "," + stored("forbidden") + "," + fails(store::put("forbidden", "")) + "," + fails(store::increment("new", 1)) + "]";
}

static tasq::result boom(value payload) {
  tasq_bytes message = tasq_text("");
  tasq_json_string(tasq_json_get(payload, "message"), &message);
  return tasq::retry(std::string(tasq::view(message)));
}

__attribute__((noinline)) static int deep(volatile int n) { return deep(n + 1) + n; }

tasq::result handle(std::string_view payload, const tasq::task &task) {
  value json = tasq::raw(payload);
  tasq_bytes found;
  if (!tasq_json_valid(json)) return tasq::discard("expected JSON", "invalid-payload");
  if (!tasq_json_string(tasq_json_get(json, "op"), &found)) return add(json);
  auto op = tasq::view(found);
  if (op == "task") return see(task);
  if (op == "size") return size(json);
  if (op == "big") return big(json);
  if (op == "none") return ""s;
  if (op == "log") return log_lines();
  if (op == "context") return context();
  if (op == "config") return "{\"present\":" + setting("GREETING") + ",\"absent\":" + setting("NOPE") + "}";
  if (op == "enqueue") return enqueue();
  if (op == "store") return store();
  if (op == "boom") return boom(json);
  if (op == "discard") return tasq::discard("no such user", "no-user");
  if (op == "retry") return tasq::retry("slow down", 30000, "rate-limited");
  if (op == "snooze") return tasq::snooze(60000, "closed");
  if (op == "panic") assert(!"reached");
  if (op == "deep") return std::to_string(deep(0));
  return tasq::discard("unknown op " + std::string(op), "unknown-op");
}
