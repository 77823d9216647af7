// Compares two texts: teaches views instead of copies, the standard library's containers, and a limit on what is computed.
//
// {"old": "…", "new": "…"} gives the difference as `diff -u` and `git diff` write it, and nothing where there is none. The setting `context` says how many lines
// stand around a change, 3 by default. What differs in more than 20,000 lines is discarded: the time grows with lines times differences.
#include "tasq/tasq.hpp"
#include "tasq/json.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>

namespace {

using lines = std::vector<std::string_view>; // each with its line break
using ids = std::span<const int>;

constexpr std::size_t most_differences = 20'000;

lines split(std::string_view text) {
  lines out;
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    out.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return out;
}

// Myers' algorithm in linear space: finds a run of equal lines in the middle of a shortest way from one text to the other, and does the same on both
// sides of it. It recurses as deep as the number of differences can be halved.
class comparison {
public:
  std::vector<bool> removed, added; // by line of the old and of the new text

  // False where there are too many differences.
  bool run(const lines &a, const lines &b) {
    std::unordered_map<std::string_view, int> known; // comparing numbers is quicker than comparing lines
    auto numbered = [&](const lines &all) {
      std::vector<int> out;
      for (auto line : all) out.push_back(known.try_emplace(line, int(known.size())).first->second);
      return out;
    };
    auto x = numbered(a), y = numbered(b);
    removed.assign(x.size(), false), added.assign(y.size(), false);
    forward.resize(2 * (x.size() + y.size()) + 3), backward = forward;
    return compare(x, y, 0, 0);
  }

private:
  struct snake { long x, y, u, v; }; // equal from (x, y) to (u, v)
  std::vector<long> forward, backward; // how far each diagonal has come

  bool compare(ids a, ids b, std::size_t from_a, std::size_t from_b) {
    auto [p, q] = std::ranges::mismatch(a, b);
    std::size_t same = std::size_t(p - a.begin());
    a = a.subspan(same), b = b.subspan(same), from_a += same, from_b += same;
    while (!a.empty() && !b.empty() && a.back() == b.back()) a = a.first(a.size() - 1), b = b.first(b.size() - 1);
    if (a.empty() || b.empty()) {
      std::fill_n(removed.begin() + long(from_a), a.size(), true);
      std::fill_n(added.begin() + long(from_b), b.size(), true);
      return true;
    }
    auto found = middle(a, b);
    if (!found) return false;
    auto [x, y, u, v] = *found;
    return compare(a.first(std::size_t(x)), b.first(std::size_t(y)), from_a, from_b) &&
           compare(a.subspan(std::size_t(u)), b.subspan(std::size_t(v)), from_a + std::size_t(u), from_b + std::size_t(v));
  }

  // Both texts begin and end differently, and neither is empty.
  std::optional<snake> middle(ids a, ids b) {
    long n = long(a.size()), m = long(b.size()), delta = n - m, zero = n + m + 1;
    bool odd = delta % 2 != 0;
    forward[std::size_t(zero + 1)] = backward[std::size_t(zero + 1)] = 0;
    for (long d = 0; d <= (n + m + 1) / 2; d++) {
      if (std::size_t(d) > most_differences / 2) return std::nullopt;
      for (bool back : {false, true}) {
        auto &here = back ? backward : forward, &there = back ? forward : backward;
        // Diagonals that have left the texts aren't followed.
        for (long k = -(d - 2 * std::max(0l, d - m)); k <= d - 2 * std::max(0l, d - n); k += 2) {
          long left = here[std::size_t(zero + k - 1)], right = here[std::size_t(zero + k + 1)];
          long x = k == -d || (k != d && left < right) ? right : left + 1, y = x - k, x0 = x, y0 = y;
          while (x < n && y < m && (back ? a[std::size_t(n - x - 1)] == b[std::size_t(m - y - 1)] : a[std::size_t(x)] == b[std::size_t(y)])) x++, y++;
          here[std::size_t(zero + k)] = x;
          long mirrored = delta - k, reached = back ? d : d - 1; // what the other side has got to
          if (odd != back && mirrored >= -reached && mirrored <= reached && x + there[std::size_t(zero + mirrored)] >= n)
            return back ? snake{n - x, m - y, n - x0, m - y0} : snake{x0, y0, x, y};
        }
      }
    }
    return std::nullopt; // not reached: two ways of half the length of both texts meet
  }
};

void write(std::string &out, char sign, std::string_view line) {
  out += sign;
  out += line;
  if (!line.ends_with('\n')) out += "\n\\ No newline at end of file\n";
}

// `first` counts from 0. One line is written without its count, and none stands behind the line before.
std::string range(std::size_t first, std::size_t count) {
  return std::to_string(count ? first + 1 : first) + (count == 1 ? "" : "," + std::to_string(count));
}

// The changes with the lines around them; what is closer than two contexts is one piece.
std::string unified(const lines &a, const lines &b, const comparison &c, std::size_t context) {
  std::string out;
  std::size_t i = 0, j = 0; // up to here the texts have been walked through, side by side
  auto same = [&] { return i < a.size() && j < b.size() && !c.removed[i] && !c.added[j]; };
  while (true) {
    std::size_t before = 0;
    while (same()) i++, j++, before++;
    if (i == a.size() && j == b.size()) return out;
    before = std::min(before, context);
    std::size_t first_a = i - before, first_b = j - before, after = 0;
    std::string piece;
    for (std::size_t k = first_a; k < i; k++) write(piece, ' ', a[k]);
    while (after <= 2 * context && (i < a.size() || j < b.size())) {
      if (same()) {
        write(piece, ' ', a[i]), i++, j++, after++;
        continue;
      }
      after = 0;
      if (i < a.size() && c.removed[i]) write(piece, '-', a[i++]);
      else write(piece, '+', b[j++]);
    }
    // It went on to see whether another change comes: what is too much goes back.
    for (; after > context; after--) {
      i--, j--;
      piece.resize(piece.size() - (a[i].size() + 1) - (a[i].ends_with('\n') ? 0 : std::string_view("\n\\ No newline at end of file\n").size()));
    }
    if (out.empty()) out = "--- old\n+++ new\n";
    out += "@@ -" + range(first_a, i - first_a) + " +" + range(first_b, j - first_b) + " @@\n" + piece;
  }
}

std::optional<std::string_view> text_of(tasq_bytes json, const char *name) {
  tasq_bytes text;
  return tasq_json_string(tasq_json_get(json, name), &text) ? std::optional(tasq::view(text)) : std::nullopt;
}

} // namespace

tasq::result handle(std::string_view payload, const tasq::task &) {
  tasq_bytes json = tasq::raw(payload);
  if (!tasq_json_valid(json)) return tasq::discard("expected JSON", "invalid-payload");
  auto before = text_of(json, "old"), after = text_of(json, "new");
  if (!before || !after) return tasq::discard("expected an object with the texts old and new", "invalid-payload");
  std::size_t context = 3;
  if (auto setting = tasq::config("context")) {
    auto [end, error] = std::from_chars(setting->begin(), setting->end(), context);
    if (error != std::errc() || end != setting->end() || context > 1'000) return tasq::discard("the setting context: expected a number from 0 to 1000", "invalid-setting");
  }
  lines a = split(*before), b = split(*after);
  comparison c;
  if (!c.run(a, b)) return tasq::discard("the texts differ in more than 20000 lines", "too-different");
  tasq::log(tasq::level::info, "compared", {{"removed", std::to_string(std::ranges::count(c.removed, true))}, {"added", std::to_string(std::ranges::count(c.added, true))}});
  return unified(a, b, c, context);
}
