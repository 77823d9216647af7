package tasq

import (
	"encoding/json"
	"time"
)

// Stop is why a run should finish early.
type Stop uint32

const (
	GoOn Stop = iota
	Cancelled
	ShuttingDown
)

// ErrorKind is an error in itself: errors.Is(err, tasq.Denied).
type ErrorKind byte

const (
	Denied ErrorKind = iota
	Invalid
	TooLarge
	TooMany
	Conflict
	Unavailable
	Other
)

func (k ErrorKind) Error() string {
	names := [...]string{"denied", "invalid", "too large", "too many", "conflict", "unavailable", "other"}
	return names[min(int(k), len(names)-1)]
}

// HostError is why the host refused a call.
type HostError struct {
	Kind    ErrorKind
	Message string
}

func (e *HostError) Error() string { return e.Kind.Error() + ": " + e.Message }
func (e *HostError) Unwrap() error { return e.Kind }

// NewTask is a follow-up task. Only Handler is needed.
type NewTask struct {
	Handler     string
	Payload     any // a []byte as it is, anything else as JSON
	ContentType string
	Queue       string // "" for the handler's own
	Delay       time.Duration
	UniqueKey   string // at most one unfinished task per key and queue
	Headers     map[string]string
	Options     map[string]string // named as in the batch format: priority, max_retries, timeout and so on
}

// encoded is the payload's bytes and their type.
func (t NewTask) encoded() (payload []byte, contentType string, err error) {
	if payload, raw := t.Payload.([]byte); raw || t.Payload == nil {
		return payload, t.ContentType, nil
	}
	if payload, err = json.Marshal(t.Payload); err != nil {
		return nil, "", err
	}
	if t.ContentType == "" {
		return payload, "application/json", nil
	}
	return payload, t.ContentType, nil
}

// Store outlives the run. Writes are immediate.
var Store store

type store struct{}
