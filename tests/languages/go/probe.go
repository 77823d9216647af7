// Answers tests/tests/languages.rs: one operation per call, and everything in package tasq is used once.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand"
	"sync"
	"time"

	"tasq.local/handler/tasq"
)

type payload struct {
	Op      string   `json:"op"`
	Arg1    *float64 `json:"arg1"`
	Arg2    *float64 `json:"arg2"`
	Pad     string   `json:"pad"`
	Size    int      `json:"size"`
	Message string   `json:"message"`
}

type object map[string]any

func init() { tasq.Handle(probe) }

func main() {} // never runs

func probe(ctx context.Context, task tasq.Task, in payload) (any, error) {
	switch in.Op {
	case "":
		if in.Arg1 == nil || in.Arg2 == nil {
			return nil, tasq.Discard(errors.New("arg1 and arg2 must be numbers")).WithCode("invalid-payload")
		}
		return object{"result": *in.Arg1 + *in.Arg2}, nil
	case "task":
		upstream := []string{}
		for _, u := range task.Upstream {
			upstream = append(upstream, string(u))
		}
		return object{"id": task.ID, "handler": task.Handler, "queue": task.Queue, "attempt": task.Attempt, "run": task.Run, "max_retries": task.MaxRetries,
			"content_type": task.ContentType, "enqueued_at_ms": task.EnqueuedAt.UnixMilli(), "due_at_ms": task.DueAt.UnixMilli(), "deadline_ms": task.Deadline.UnixMilli(),
			"headers": task.Headers, "upstream": upstream}, nil
	case "size":
		return object{"size": len([]rune(in.Pad))}, nil
	case "big":
		return make([]byte, in.Size), nil
	case "random":
		return rand.Float64(), nil
	case "none":
		return nil, nil
	case "log":
		slog.Warn("Größe 🙂", slog.Group("user", "id", "Zoë"))
		slog.With("a", 1).WithGroup("g").Info("grouped", "b", 2)
		return object{"trace": slog.Default().Enabled(ctx, slog.LevelDebug-4), "error": slog.Default().Enabled(ctx, slog.LevelError)}, nil
	case "context":
		tasq.Progress(50, "half ✓")
		stopping := map[tasq.Stop]any{tasq.GoOn: nil, tasq.Cancelled: "cancelled", tasq.ShuttingDown: "shutting-down"}
		return object{"remaining": tasq.Remaining().Milliseconds(), "stopping": stopping[tasq.Stopping()]}, nil
	case "config":
		present, _ := tasq.Config("GREETING")
		if _, ok := tasq.Config("NOPE"); ok {
			return nil, errors.New("NOPE is there")
		}
		return object{"present": present, "absent": nil}, nil
	case "enqueue":
		id, err := tasq.Enqueue(tasq.NewTask{Handler: "mail", Payload: object{"to": "Zoë"}, Queue: "low", Delay: 5 * time.Second,
			Headers: map[string]string{"a": "b"}, Options: map[string]string{"priority": "high"}})
		if err != nil {
			return nil, err
		}
		_, err = tasq.Enqueue(tasq.NewTask{Handler: "forbidden", Payload: []byte("raw")})
		var refused *tasq.HostError
		if !errors.As(err, &refused) {
			return nil, fmt.Errorf("not refused: %w", err)
		}
		return object{"id": id, "error": refused.Kind.Error(), "message": refused.Message}, nil
	case "store":
		return store()
	case "decrement":
		return tasq.Store.Increment("down", -50, 0)
	case "boom":
		return nil, errors.New(in.Message)
	case "discard":
		return nil, fmt.Errorf("%w", tasq.Discard(errors.New("no such user")).WithCode("no-user"))
	case "retry":
		return nil, tasq.RetryAfter(30*time.Second, errors.New("slow down")).WithCode("rate-limited")
	case "snooze":
		return nil, tasq.Snooze(time.Minute, errors.New("closed"))
	case "panic":
		var none *tasq.Task
		return none.ID, nil
	case "deep":
		return deep(0), nil
	case "garbage":
		return garbage(ctx)
	}
	return nil, tasq.Discard(fmt.Errorf("unknown op %s", in.Op))
}

func store() (any, error) {
	seen := []any{}
	text := func(value []byte, ok bool, err error) any {
		if err != nil || !ok {
			return nil
		}
		return string(value)
	}
	replace := func(key string, expected, value []byte) {
		done, err := tasq.Store.Replace(key, expected, value, time.Second)
		seen = append(seen, done && err == nil)
	}
	if err := tasq.Store.Put("k", []byte("ü"), time.Minute); err != nil {
		return nil, err
	}
	seen = append(seen, text(tasq.Store.Get("nothing")), text(tasq.Store.Get("k")))
	replace("k", nil, []byte("x"))
	replace("k", []byte("ü"), []byte{})
	seen = append(seen, text(tasq.Store.Get("k")))
	replace("new", nil, []byte("one"))
	for _, by := range []int32{41, 1} {
		n, err := tasq.Store.Increment("n", by, 0)
		if err != nil {
			return nil, err
		}
		seen = append(seen, n)
	}
	if err := tasq.Store.Remove("k"); err != nil {
		return nil, err
	}
	seen = append(seen, text(tasq.Store.Get("k")))
	_, _, err := tasq.Store.Get("forbidden")
	seen = append(seen, refusal(err), refusal(tasq.Store.Put("forbidden", nil, 0)))
	_, err = tasq.Store.Increment("new", 1, 0)
	return append(seen, refusal(err)), nil
}

func refusal(err error) string {
	for _, kind := range []tasq.ErrorKind{tasq.Denied, tasq.Invalid} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return fmt.Sprint(err)
}

func deep(n int) int { return deep(n+1) + 1 }

// garbage keeps the collector and the timers busy while goroutines call imports.
func garbage(ctx context.Context) (any, error) {
	if err := tasq.Store.Put("blob", make([]byte, 4096), 0); err != nil {
		return nil, err
	}
	var all sync.WaitGroup
	failed := make(chan error, 8)
	for range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			for range 200 {
				value, ok, err := tasq.Store.Get("blob")
				if err != nil || !ok || len(value) != 4096 {
					failed <- fmt.Errorf("got %d bytes, %v", len(value), err)
					return
				}
				if _, ok := tasq.Config("GREETING"); !ok {
					failed <- errors.New("no greeting")
					return
				}
				_ = make([]byte, 64<<10)
				inner, cancel := context.WithTimeout(ctx, time.Millisecond)
				<-inner.Done()
				cancel()
			}
		}()
	}
	all.Wait()
	select {
	case err := <-failed:
		return nil, err
	default:
		return "fine", nil
	}
}
