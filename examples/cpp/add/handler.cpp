#include "tasq/tasq.hpp"
#include "tasq/json.h"

#include <charconv>
#include <cmath>

tasq::result handle(std::string_view payload, const tasq::task &task) {
  tasq_bytes json = tasq::raw(payload);
  double arg1, arg2;
  if (!tasq_json_valid(json) || !tasq_json_number(tasq_json_get(json, "arg1"), &arg1) || !tasq_json_number(tasq_json_get(json, "arg2"), &arg2))
    return tasq::discard("expected an object with the numbers arg1 and arg2", "invalid-payload");
  if (!std::isfinite(arg1 + arg2)) return tasq::discard("the sum is too large for a double", "overflow");
  tasq::log(tasq::level::info, "adding, attempt " + std::to_string(task.attempt));
  char sum[32];
  auto end = std::to_chars(sum, sum + sizeof sum, arg1 + arg2).ptr;
  return "{\"result\":" + std::string(sum, end) + "}";
}
