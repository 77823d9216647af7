//go:build !wasm

package tasq

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Doubles of the host, for `go test` on the machine at hand. A test sets and reads these.
var (
	TestConfig   = map[string]string{}
	TestStore    = map[string][]byte{} // what Store reads and writes; nothing expires
	TestEnqueued []NewTask
	TestStopping Stop
)

// Remaining is the time until the host stops this run.
func Remaining() time.Duration { return 30 * time.Second }

// Stopping says whether this run should finish early.
func Stopping() Stop { return TestStopping }

// Progress shows how far the run is, in percent.
func Progress(percent int, note string) { fmt.Fprintln(os.Stderr, "progress", percent, note) }

// Config returns a setting or secret; false where it isn't granted.
func Config(name string) (value string, ok bool) {
	value, ok = TestConfig[name]
	return value, ok
}

// Enqueue follows this run up with another task once it has succeeded. It returns the id that task will have.
func Enqueue(task NewTask) (id string, err error) {
	if _, _, err := task.encoded(); err != nil {
		return "", err
	}
	TestEnqueued = append(TestEnqueued, task)
	return fmt.Sprintf("task-%d", len(TestEnqueued)), nil
}

// Get returns a value; false where there is none.
func (store) Get(key string) (value []byte, ok bool, err error) {
	value, ok = TestStore[key]
	return bytes.Clone(value), ok, nil
}

// Put writes a value that stays for ttl, or until it is removed where that is 0.
func (store) Put(key string, value []byte, _ time.Duration) error {
	TestStore[key] = append([]byte{}, value...)
	return nil
}

// Replace writes only where the key holds expected; nil expects it to be absent.
func (s store) Replace(key string, expected, value []byte, ttl time.Duration) (done bool, err error) {
	held, ok := TestStore[key]
	if ok != (expected != nil) || !bytes.Equal(held, expected) {
		return false, nil
	}
	return true, s.Put(key, value, ttl)
}

// Increment adds to a decimal number and returns its new value.
func (s store) Increment(key string, by int32, ttl time.Duration) (value int64, err error) {
	if held, ok := TestStore[key]; ok {
		if value, err = strconv.ParseInt(string(held), 10, 64); err != nil {
			return 0, &HostError{Kind: Invalid, Message: err.Error()}
		}
	}
	value += int64(by)
	return value, s.Put(key, strconv.AppendInt(nil, value, 10), ttl)
}

func (store) Remove(key string) error {
	delete(TestStore, key)
	return nil
}

func hostLogEnabled(level uint32) bool { return level >= 2 }

func writeLog(level uint32, message string, fields map[string]string) {
	fmt.Fprintln(os.Stderr, [...]string{"trace", "debug", "info", "warn", "error"}[level], message, fields)
}
