package tasq

import (
	"encoding/json"
	"time"
)

// Run is one run of the registered handler with this payload, for tests: a []byte or a string as it is, anything else as JSON.
func Run(payload any) ([]byte, *Failure) {
	var raw []byte
	switch payload := payload.(type) {
	case []byte:
		raw = payload
	case string:
		raw = []byte(payload)
	default:
		var err error
		if raw, err = json.Marshal(payload); err != nil {
			panic(err)
		}
	}
	now := time.Now()
	return outcome(Task{ID: "test", Handler: "test", Queue: "default", Attempt: 1, Run: 1, MaxRetries: 25, EnqueuedAt: now, DueAt: now, Deadline: now.Add(30 * time.Second)}, raw)
}

// Discarded, Snoozed: what becomes of the task. Neither is a retry.
func (f *Failure) Discarded() bool { return f.kind == discard }
func (f *Failure) Snoozed() bool   { return f.kind == snooze }
