// Counts lines, words and characters: teaches that any program is a handler, and how one discards and snoozes.
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>

constexpr int discard = 65; // bad data: never again

static std::string read_all() {
  std::string all;
  char part[4096];
  while (auto n = std::fread(part, 1, sizeof part, stdin)) all.append(part, n);
  return all;
}

// The number of characters, none where the text is no UTF-8.
static std::optional<std::size_t> characters(const std::string &text) {
  std::size_t count = 0, missing = 0;
  for (unsigned char byte : text) {
    if (missing > 0) {
      if ((byte & 0xc0) != 0x80) return {};
      missing--;
      continue;
    }
    if (byte >= 0x80 && (byte < 0xc2 || byte > 0xf4)) return {};
    missing = byte < 0x80 ? 0 : byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    count++;
  }
  return missing > 0 ? std::nullopt : std::optional(count);
}

static std::size_t words(const std::string &text) {
  std::size_t count = 0;
  bool in_word = false;
  for (char c : text) {
    bool blank = std::string_view(" \t\n\f\r").contains(c);
    count += !blank && !in_word;
    in_word = !blank;
  }
  return count;
}

int main() {
  auto text = read_all();
  if (text.empty()) {
    std::fputs("tasq: snooze 30s: nothing to count yet\n", stderr); // whatever the status, the last line decides
    return 1;
  }
  auto found = characters(text);
  if (!found) {
    std::fputs("no UTF-8\n", stderr);
    return discard;
  }
  auto lines = std::size_t(std::ranges::count(text, '\n'));
  std::printf("{\"lines\":%zu,\"words\":%zu,\"characters\":%zu}\n", lines, words(text), *found);
}
