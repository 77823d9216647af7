#include "tasq/testing.h"
#include "handler.c"

int main(void) {
  tasq_expect_ok(tasq_run("{\"arg1\":5,\"arg2\":4}"), "{\"result\":9}");
  tasq_expect_ok(tasq_run(" {\"arg2\" : -1.5e1, \"why\": [null, \"\\u00fc\"], \"arg1\":0}"), "{\"result\":-15}");
  const char *const bad[] = {"{not json", "", "[1,2]", "{\"arg1\":5}", "{\"arg1\":\"x\",\"arg2\":2}", "{\"arg1\":5,\"arg2\":4", "{\"arg1\":0x5,\"arg2\":4}"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) tasq_expect_failure(tasq_run(bad[i]), TASQ_DISCARD, "invalid-payload");
  tasq_expect_failure(tasq_run("{\"arg1\":1e308,\"arg2\":1e308}"), TASQ_DISCARD, "overflow");
  return tasq_tests_failed();
}
