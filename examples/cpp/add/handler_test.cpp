#include "tasq/testing.h"
#include "handler.cpp"

int main() {
  tasq_expect_ok(tasq_run("{\"arg1\":5,\"arg2\":4}"), "{\"result\":9}");
  for (const char *bad : {"{not json", "", "[1,2]", "{\"arg1\":5}", "{\"arg1\":\"x\",\"arg2\":2}", "{\"arg1\":5,\"arg2\":4"})
    tasq_expect_failure(tasq_run(bad), TASQ_DISCARD, "invalid-payload");
  tasq_expect_failure(tasq_run("{\"arg1\":1e308,\"arg2\":1e308}"), TASQ_DISCARD, "overflow");
  return tasq_tests_failed();
}
