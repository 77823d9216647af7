//go:build wasm

package tasq

import (
	"encoding/binary"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"unsafe"
)

// The canonical ABI of tasq:handler/task-handler@0.1.0, by hand.

// arena holds what the host writes for us: a call's arguments, and what an import returns.
//
// It is static because a Go allocation in cabi_realloc can start a garbage collection,
// which reads the clock, and a component may not call an import while the host lowers
// values into it ("cannot leave component instance"). Untouched pages cost no memory.
// Arguments that don't fit come from the heap: between runs the collector is off.
var (
	arena     [8 << 20]byte
	arenaUsed uintptr
	arenaBase uintptr // after what the WASI adapter asked for at start-up

	running   bool
	overflow  [][]byte // keeps arguments on the heap
	gcPercent int

	results sync.Mutex // held from an import's return to the copy of what it returned
	ret     area
	kept    []byte // what the result in ret points to
)

func init() {
	arenaBase = arenaUsed
	gcPercent = debug.SetGCPercent(-1)
}

//go:wasmexport cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	base := uintptr(unsafe.Pointer(&arena))
	start := (base + arenaUsed + uintptr(align) - 1) &^ (uintptr(align) - 1)
	p := unsafe.Pointer(start)
	if end := start + uintptr(size) - base; end <= uintptr(len(arena)) {
		arenaUsed = end
	} else if running {
		panic("tasq: an import returned more than the arena holds")
	} else {
		data := make([]byte, uintptr(size)+uintptr(align))
		overflow = append(overflow, data)
		p = unsafe.Pointer((uintptr(unsafe.Pointer(&data[0])) + uintptr(align) - 1) &^ (uintptr(align) - 1))
	}
	copy(unsafe.Slice((*byte)(p), size), unsafe.Slice((*byte)(old), min(oldSize, size)))
	return p
}

// The parameters are more than 16 flat values, so they come as a pointer to a tuple.
//
//go:wasmexport tasq:handler/handler@0.1.0#handle
func handle(args *[12]uint64) unsafe.Pointer {
	running = true
	debug.SetGCPercent(gcPercent)
	results.Lock()
	a := (*area)(unsafe.Pointer(args))
	payload := append([]byte{}, a.bytes(0)...)
	task := Task{
		ID: string(a.bytes(8)), Handler: string(a.bytes(16)), Queue: string(a.bytes(24)),
		Attempt: a.uint32(32), Run: a.uint32(36), MaxRetries: a.uint32(40), ContentType: string(a.bytes(44)),
		EnqueuedAt: unixMilli(args[7]), DueAt: unixMilli(args[8]), Deadline: unixMilli(args[9]),
		Headers: make(map[string]string, a.uint32(84)), Upstream: make([][]byte, a.uint32(92)),
	}
	headers, upstream := a.uint32(80), a.uint32(88)
	for i := range a.uint32(84) {
		task.Headers[string(bytesAt(headers+16*i))] = string(bytesAt(headers + 16*i + 8))
	}
	for i := range task.Upstream {
		task.Upstream[i] = append([]byte{}, bytesAt(upstream+8*uint32(i))...)
	}
	arenaUsed = arenaBase // everything was copied
	overflow = nil
	results.Unlock()

	result, failure := outcome(task, payload)

	ret = area{}
	if failure == nil {
		kept = result
		ret.put(8, result)
	} else {
		message, code := text(failure.Error()), text(failure.Code)
		kept = []byte(message + code)
		ret.setByte(0, 1)
		ret.setByte(8, failure.kind)
		ret.put(12, kept[:len(message)])
		ret.put(20, kept[len(message):])
		ret[4] = milliseconds(failure.After)
	}
	debug.SetGCPercent(-1)
	running = false
	return ret.pointer()
}

//go:wasmexport cabi_post_tasq:handler/handler@0.1.0#handle
func postHandle(unsafe.Pointer) { kept = nil }

// area is where results lie, ours and the imports'. Static: a goroutine's stack can move.
type area [5]uint64

func (a *area) pointer() unsafe.Pointer { return unsafe.Pointer(a) }
func (a *area) at(offset int) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(a)), offset+8)[offset:]
}
func (a *area) byte(offset int) byte     { return a.at(offset)[0] }
func (a *area) uint32(offset int) uint32 { return binary.LittleEndian.Uint32(a.at(offset)) }
func (a *area) bytes(offset int) []byte {
	return bytesAt(uint32(uintptr(a.pointer())) + uint32(offset))
}
func (a *area) setByte(offset int, b byte) { a.at(offset)[0] = b }

func (a *area) put(offset int, data []byte) {
	binary.LittleEndian.PutUint32(a.at(offset), address(data))
	binary.LittleEndian.PutUint32(a.at(offset)[4:], uint32(len(data)))
}

// call runs an import that returns through memory, and copies what it returned. The
// value, or the host's error, lies `at` that byte, after the discriminant.
func call(at int, f func(unsafe.Pointer), ok func(*area)) error {
	results.Lock()
	defer results.Unlock()
	mark := arenaUsed
	defer func() { arenaUsed = mark }()
	f(ret.pointer())
	if ret.byte(0) == 1 {
		return &HostError{Kind: ErrorKind(ret.byte(at)), Message: string(ret.bytes(at + 4))}
	}
	ok(&ret)
	return nil
}

// bytesAt is the list or string whose address and length lie at an address. Not a copy.
func bytesAt(at uint32) []byte {
	pair := (*[2]uint32)(unsafe.Pointer(uintptr(at)))
	if pair[1] == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(uintptr(pair[0]))), pair[1])
}

func pointer(data []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(data)) }
func address(data []byte) uint32         { return uint32(uintptr(pointer(data))) }

// text makes a string valid UTF-8: anything else would be a trap.
func text(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

// headerList is a list<header>: name and value of each, as addresses and lengths.
type headerList struct {
	flat  []uint32
	texts []string
}

func lowered(headers map[string]string) (l headerList) {
	for name, value := range headers {
		for _, s := range [2]string{text(name), text(value)} {
			l.texts = append(l.texts, s)
			l.flat = append(l.flat, uint32(uintptr(unsafe.Pointer(unsafe.StringData(s)))), uint32(len(s)))
		}
	}
	return l
}

func (l headerList) pointer() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(l.flat)) }
func (l headerList) count() uint32           { return uint32(len(l.flat) / 4) }
func (l headerList) keep()                   { runtime.KeepAlive(l.texts) }
