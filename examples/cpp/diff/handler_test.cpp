#include "tasq/testing.h"
#include "handler.cpp"

// Puts the difference onto the old text, line by line, and sees whether the new one comes out.
static bool leads_back(const lines &a, const lines &b) {
  comparison c;
  if (!c.run(a, b)) return false;
  lines out;
  std::size_t i = 0, j = 0;
  while (i < a.size() || j < b.size()) {
    if (i < a.size() && c.removed[i]) i++;
    else if (j < b.size() && c.added[j]) out.push_back(b[j++]);
    else if (i < a.size() && j < b.size()) out.push_back(a[i++]), j++;
    else return false;
  }
  return out == b;
}

static std::size_t differences(const lines &a, const lines &b) {
  comparison c;
  c.run(a, b);
  return std::size_t(std::ranges::count(c.removed, true) + std::ranges::count(c.added, true));
}

// By the table that everyone knows, for texts as small as these.
static std::size_t fewest(const lines &a, const lines &b) {
  std::vector<std::vector<std::size_t>> table(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); i++)
    for (std::size_t j = 0; j <= b.size(); j++)
      table[i][j] = !i ? j : !j ? i : a[i - 1] == b[j - 1] ? table[i - 1][j - 1] : std::min(table[i - 1][j], table[i][j - 1]) + 1;
  return table[a.size()][b.size()];
}

int main() {
  tasq_expect_ok(tasq_run("{\"old\":\"a\\nb\\nc\\n\",\"new\":\"a\\nB\\nc\\nd\\n\"}"), "--- old\n+++ new\n@@ -1,3 +1,4 @@\n a\n-b\n+B\n c\n+d\n");
  tasq_expect_ok(tasq_run("{\"old\":\"\",\"new\":\"\"}"), "");
  tasq_expect_ok(tasq_run("{\"old\":\"größe\",\"new\":\"größe\"}"), "");
  tasq_expect_ok(tasq_run("{\"old\":\"\",\"new\":\"a\\n\"}"), "--- old\n+++ new\n@@ -0,0 +1 @@\n+a\n");
  tasq_expect_ok(tasq_run("{\"old\":\"a\",\"new\":\"a\\n\"}"), "--- old\n+++ new\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n");
  tasq_set_config("context", "0");
  tasq_expect_ok(tasq_run("{\"old\":\"1\\n2\\n3\\n4\",\"new\":\"2\\n3\\n4\"}"), "--- old\n+++ new\n@@ -1 +0,0 @@\n-1\n");
  tasq_set_config("context", "1");
  tasq_expect_ok(tasq_run("{\"old\":\"1\\n2\\n3\\n4\\n5\",\"new\":\"0\\n2\\n3\\n4\\n5\\n\"}"),
                 "--- old\n+++ new\n@@ -1,2 +1,2 @@\n-1\n+0\n 2\n@@ -4,2 +4,2 @@\n 4\n-5\n\\ No newline at end of file\n+5\n");
  for (const char *bad : {"{not json", "", "[1,2]", "{\"old\":\"\"}", "{\"old\":1,\"new\":\"\"}"}) tasq_expect_failure(tasq_run(bad), TASQ_DISCARD, "invalid-payload");
  tasq_set_config("context", "many");
  tasq_expect_failure(tasq_run("{\"old\":\"\",\"new\":\"\"}"), TASQ_DISCARD, "invalid-setting");

  // Small texts of few different lines, where everything is next to everything: each difference is a shortest one.
  unsigned seed = 1;
  auto any = [&](unsigned below) { return (seed = seed * 1664525 + 1013904223) / 65536 % below; };
  for (int round = 0; round < 20'000; round++) {
    lines a(any(9)), b(any(9));
    for (auto *text : {&a, &b}) for (auto &line : *text) line = std::string_view("a\nb\nc\n").substr(2 * any(3), 2);
    if (!tasq_expect(leads_back(a, b)) || !tasq_expect(differences(a, b) == fewest(a, b))) break;
  }
  return tasq_tests_failed();
}
