//go:build wasm

package tasq

import (
	"time"
	"unsafe"
)

//go:wasmimport tasq:handler/context@0.1.0 remaining-ms
func hostRemainingMs() uint64

//go:wasmimport tasq:handler/context@0.1.0 stopping
func hostStopping(ret unsafe.Pointer)

//go:wasmimport tasq:handler/context@0.1.0 progress
func hostProgress(percent uint32, note string)

//go:wasmimport tasq:handler/log@0.1.0 enabled
func hostLogEnabled(level uint32) bool

//go:wasmimport tasq:handler/log@0.1.0 log
func hostLog(level uint32, message string, fields unsafe.Pointer, fieldCount uint32)

//go:wasmimport tasq:handler/config@0.1.0 get
func hostConfigGet(name string, ret unsafe.Pointer)

//go:wasmimport tasq:handler/producer@0.1.0 enqueue
func hostEnqueue(handler string, payload unsafe.Pointer, payloadLen uint32, contentType, queue string, delayMs uint64, uniqueKey string,
	headers unsafe.Pointer, headerCount uint32, options unsafe.Pointer, optionCount uint32, ret unsafe.Pointer)

//go:wasmimport tasq:handler/store@0.1.0 get
func hostStoreGet(key string, ret unsafe.Pointer)

//go:wasmimport tasq:handler/store@0.1.0 put
func hostStorePut(key string, value unsafe.Pointer, valueLen uint32, ttlMs uint64, ret unsafe.Pointer)

//go:wasmimport tasq:handler/store@0.1.0 replace
func hostStoreReplace(key string, some bool, expected unsafe.Pointer, expectedLen uint32, value unsafe.Pointer, valueLen uint32,
	ttlMs uint64, ret unsafe.Pointer)

//go:wasmimport tasq:handler/store@0.1.0 increment
func hostStoreIncrement(key string, by int32, ttlMs uint64, ret unsafe.Pointer)

//go:wasmimport tasq:handler/store@0.1.0 remove
func hostStoreRemove(key string, ret unsafe.Pointer)

// Remaining is the time until the host stops this run.
func Remaining() time.Duration {
	return time.Duration(min(hostRemainingMs(), uint64(1<<63-1)/1e6)) * time.Millisecond
}

// Stopping says whether this run should finish early.
func Stopping() Stop {
	var ret struct{ some, stop uint8 }
	hostStopping(unsafe.Pointer(&ret))
	if ret.some == 0 {
		return GoOn
	}
	return Cancelled + Stop(ret.stop)
}

// Progress shows how far the run is, in percent.
func Progress(percent int, note string) { hostProgress(uint32(min(max(percent, 0), 100)), text(note)) }

// Config returns a setting or secret; false where it isn't granted.
func Config(name string) (value string, ok bool) {
	results.Lock()
	defer results.Unlock()
	mark := arenaUsed
	hostConfigGet(text(name), ret.pointer())
	if ok = ret.byte(0) == 1; ok {
		value = string(ret.bytes(4))
	}
	arenaUsed = mark
	return value, ok
}

// Enqueue follows this run up with another task once it has succeeded. It returns the id that task will have.
func Enqueue(task NewTask) (id string, err error) {
	payload, contentType, err := task.encoded()
	if err != nil {
		return "", err
	}
	headers, options := lowered(task.Headers), lowered(task.Options)
	defer headers.keep()
	defer options.keep()
	err = call(4, func(ret unsafe.Pointer) {
		hostEnqueue(text(task.Handler), pointer(payload), uint32(len(payload)), text(contentType), text(task.Queue),
			milliseconds(task.Delay), text(task.UniqueKey), headers.pointer(), headers.count(), options.pointer(), options.count(), ret)
	}, func(ret *area) { id = string(ret.bytes(4)) })
	return id, err
}

// Get returns a value; false where there is none.
func (store) Get(key string) (value []byte, ok bool, err error) {
	err = call(4, func(ret unsafe.Pointer) { hostStoreGet(text(key), ret) }, func(ret *area) {
		if ok = ret.byte(4) == 1; ok {
			value = append([]byte{}, ret.bytes(8)...)
		}
	})
	return value, ok, err
}

// Put writes a value that stays for ttl, or until it is removed where that is 0.
func (store) Put(key string, value []byte, ttl time.Duration) error {
	return call(4, func(ret unsafe.Pointer) {
		hostStorePut(text(key), pointer(value), uint32(len(value)), milliseconds(ttl), ret)
	}, func(*area) {})
}

// Replace writes only where the key holds expected; nil expects it to be absent. A ttl of 0 keeps the present one.
func (store) Replace(key string, expected, value []byte, ttl time.Duration) (done bool, err error) {
	err = call(4, func(ret unsafe.Pointer) {
		hostStoreReplace(text(key), expected != nil, pointer(expected), uint32(len(expected)), pointer(value), uint32(len(value)), milliseconds(ttl), ret)
	}, func(ret *area) { done = ret.byte(4) == 1 })
	return done, err
}

// Increment adds to a decimal number and returns its new value. A ttl of 0 keeps the present one.
func (store) Increment(key string, by int32, ttl time.Duration) (value int64, err error) {
	err = call(8, func(ret unsafe.Pointer) { hostStoreIncrement(text(key), by, milliseconds(ttl), ret) },
		func(ret *area) { value = int64(ret[1]) })
	return value, err
}

func (store) Remove(key string) error {
	return call(4, func(ret unsafe.Pointer) { hostStoreRemove(text(key), ret) }, func(*area) {})
}

func writeLog(level uint32, message string, fields map[string]string) {
	headers := lowered(fields)
	hostLog(level, text(message), headers.pointer(), headers.count())
	headers.keep()
}
