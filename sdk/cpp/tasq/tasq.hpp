// The contract as C++23, on top of tasq.h.  Include it in one file and define handle() there.
// wasm32-wasi has no exceptions, so errors are std::expected.
#pragma once
#include <cstdint>
#include <expected>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tasq.h"

namespace tasq {

struct header { std::string_view name, value; };

// Views into memory that lives until the run ends.
struct task {
  std::string_view id, handler, queue;
  std::uint32_t attempt, run, max_retries;
  std::string_view content_type;
  std::uint64_t enqueued_at_ms, due_at_ms, deadline_ms;
  std::vector<header> headers;
  std::vector<std::string_view> upstream;
};

struct failure {
  enum kind { retry, discard, snooze } kind;
  std::string message, code = {};
  std::uint64_t retry_after_ms = 0; // 0 leaves the delay to the host
};

using result = std::expected<std::string, failure>;

// return tasq::discard("bad payload");
inline auto retry(std::string message, std::uint64_t after_ms = 0, std::string code = {}) { return std::unexpected(failure{failure::retry, std::move(message), std::move(code), after_ms}); }
inline auto discard(std::string message, std::string code = {}) { return std::unexpected(failure{failure::discard, std::move(message), std::move(code)}); }
inline auto snooze(std::uint64_t after_ms, std::string message = {}) { return std::unexpected(failure{failure::snooze, std::move(message), {}, after_ms}); }

// ---- Inside -----------------------------------------------------------------------------

inline std::string_view view(tasq_bytes b) { return {b.ptr, b.len}; }
inline tasq_bytes raw(std::string_view s) { return {s.data(), s.size()}; }
inline std::vector<tasq_header> raw(std::span<const header> list) {
  std::vector<tasq_header> out;
  for (auto &h : list) out.push_back({raw(h.name), raw(h.value)});
  return out;
}
using headers = std::initializer_list<header>;

// ---- The host ---------------------------------------------------------------------------

inline std::uint64_t remaining_ms() { return tasq_remaining_ms(); }
enum class stop { cancelled, shutting_down };
inline std::optional<stop> stopping() {
  auto s = tasq_stopping();
  return s ? std::optional(stop(s - 1)) : std::nullopt;
}
inline void progress(std::uint8_t percent, std::string_view note) { tasq_bytes n = tasq_utf8(raw(note)); tasq_raw_progress(percent, n.ptr, n.len); }

enum class level { trace, debug, info, warn, error };
inline bool log_enabled(level l) { return tasq_log_enabled(tasq_level(l)); }
inline void log(level l, std::string_view message, headers fields = {}) {
  auto f = raw(std::span(fields.begin(), fields.size()));
  tasq_log_fields(tasq_level(l), raw(message), f.data(), f.size());
}

inline std::optional<std::string_view> config(const std::string &name) {
  const char *value = tasq_config(name.c_str());
  return value ? std::optional<std::string_view>(value) : std::nullopt;
}

// Why a call into the host failed.
struct error {
  enum kind { denied, invalid, too_large, too_many, conflict, unavailable, other } kind;
  std::string_view message;
};
inline std::unexpected<error> failed(tasq_status s) { return std::unexpected(error{(enum error::kind)(s - 1), view(tasq_error)}); }

struct new_task {
  std::string_view handler, payload, content_type = "", queue = "";
  std::uint64_t delay_ms = 0;
  std::string_view unique_key = "";
  std::vector<header> headers = {}, options = {};
};
inline std::expected<std::string_view, error> enqueue(const new_task &t) {
  auto h = raw(std::span(t.headers)), o = raw(std::span(t.options));
  tasq_new_task n = {raw(t.handler), raw(t.payload), raw(t.content_type), raw(t.queue), t.delay_ms, raw(t.unique_key), h.data(), h.size(), o.data(), o.size()};
  tasq_bytes id;
  if (auto s = tasq_enqueue(&n, &id)) return failed(s);
  return view(id);
}

namespace store {
inline std::expected<std::optional<std::string_view>, error> get(const std::string &key) {
  tasq_bytes v;
  if (auto s = tasq_store_get(key.c_str(), &v)) return failed(s);
  return v.ptr ? std::optional(view(v)) : std::nullopt;
}
inline std::expected<void, error> put(const std::string &key, std::string_view value, std::uint64_t ttl_ms = 0) {
  if (auto s = tasq_store_put(key.c_str(), raw(value), ttl_ms)) return failed(s);
  return {};
}
inline std::expected<bool, error> replace(const std::string &key, std::optional<std::string_view> expected, std::string_view value, std::uint64_t ttl_ms = 0) {
  tasq_bytes e = raw(expected.value_or(""));
  bool done;
  if (auto s = tasq_store_replace(key.c_str(), expected ? &e : nullptr, raw(value), ttl_ms, &done)) return failed(s);
  return done;
}
inline std::expected<std::int64_t, error> increment(const std::string &key, std::int32_t by, std::uint64_t ttl_ms = 0) {
  std::int64_t now;
  if (auto s = tasq_store_increment(key.c_str(), by, ttl_ms, &now)) return failed(s);
  return now;
}
inline std::expected<void, error> remove(const std::string &key) {
  if (auto s = tasq_store_remove(key.c_str())) return failed(s);
  return {};
}
} // namespace store
} // namespace tasq

// ---- Yours -------------------------------------------------------------------------------

tasq::result handle(std::string_view payload, const tasq::task &task);

static tasq_result tasq_handle(tasq_bytes payload, const tasq_task *t) {
  tasq::task task = {tasq::view(t->id), tasq::view(t->handler), tasq::view(t->queue), t->attempt, t->run, t->max_retries, tasq::view(t->content_type), t->enqueued_at_ms, t->due_at_ms, t->deadline_ms, {}, {}};
  for (auto &h : std::span(t->headers, t->header_count)) task.headers.push_back({tasq::view(h.name), tasq::view(h.value)});
  for (auto &u : std::span(t->upstream, t->upstream_count)) task.upstream.push_back(tasq::view(u));
  static tasq::result kept; // the host reads it after the return
  kept = handle(tasq::view(payload), task);
  if (kept) return tasq_ok(tasq::raw(*kept));
  const auto &f = kept.error();
  return tasq_fail(tasq_failure_kind(f.kind), tasq::raw(f.message), f.code.c_str(), f.retry_after_ms);
}
