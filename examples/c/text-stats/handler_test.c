#include "tasq/testing.h"
#include "handler.c"

int main(void) {
  tasq_expect_ok(tasq_run("the cat and the hat\nand the Größe\n"),
                 "{\"lines\":2,\"words\":8,\"different\":5,\"characters\":34,\"longest\":\"Größe\",\"frequent\":[[\"the\",3],[\"and\",2],[\"Größe\",1],[\"cat\",1],[\"hat\",1]]}");
  tasq_expect_ok(tasq_run(""), "{\"lines\":0,\"words\":0,\"different\":0,\"characters\":0,\"longest\":\"\",\"frequent\":[]}");
  tasq_expect_ok(tasq_run("a"), "{\"lines\":0,\"words\":1,\"different\":1,\"characters\":1,\"longest\":\"a\",\"frequent\":[[\"a\",1]]}");
  tasq_expect_failure(tasq_run("a\xff"), TASQ_DISCARD, "invalid-payload");
  return tasq_tests_failed();
}
