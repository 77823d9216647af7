from dataclasses import dataclass

from tasq import handler, log


@dataclass
class Numbers:
    arg1: int | float
    arg2: int | float


@dataclass
class Sum:
    result: int | float


@handler
def add(numbers: Numbers) -> Sum:
    log.info("adding", arg1=numbers.arg1, arg2=numbers.arg2)
    return Sum(numbers.arg1 + numbers.arg2)
