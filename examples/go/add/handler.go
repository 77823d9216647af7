package main

import (
	"context"
	"errors"
	"log/slog"
	"math"

	"tasq.local/handler/tasq"
)

type numbers struct {
	Arg1 *float64 `json:"arg1"`
	Arg2 *float64 `json:"arg2"`
}

type sum struct {
	Result float64 `json:"result"`
}

func add(ctx context.Context, task tasq.Task, in numbers) (sum, error) {
	if in.Arg1 == nil || in.Arg2 == nil {
		return sum{}, tasq.Discard(errors.New("arg1 and arg2 must be numbers")).WithCode("invalid-payload")
	}
	slog.Info("adding", "attempt", task.Attempt)
	result := *in.Arg1 + *in.Arg2
	if math.IsInf(result, 0) {
		return sum{}, tasq.Discard(errors.New("the sum is too large for a float64")).WithCode("overflow")
	}
	return sum{result}, nil
}

func init() { tasq.Handle(add) }

func main() {} // never runs: the host calls the handler
