#include <math.h>

#include "tasq/tasq.h"
#include "tasq/json.h"

static tasq_result tasq_handle(tasq_bytes payload, const tasq_task *task) {
  double arg1, arg2;
  if (!tasq_json_valid(payload) || !tasq_json_number(tasq_json_get(payload, "arg1"), &arg1) || !tasq_json_number(tasq_json_get(payload, "arg2"), &arg2))
    return tasq_discard("invalid-payload", "expected an object with the numbers arg1 and arg2");
  if (!isfinite(arg1 + arg2)) return tasq_discard("overflow", "the sum is too large for a double");
  tasq_log(TASQ_INFO, "adding, attempt %u", (unsigned)task->attempt);
  return tasq_ok(tasq_format("{\"result\":%.17g}", arg1 + arg2));
}
