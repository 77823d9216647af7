//! Canonical-ABI glue for the WIT world tasq:handler/task-handler@0.1.0: Zig 0.16, wasm32-freestanding, nothing else.
//!
//! Whatever the host hands over, and whatever the handler takes from its allocator, lives in one arena until the run ends.
const std = @import("std");
const builtin = @import("builtin");

/// False in `zig test`, where there is no host: what calls it doesn't link there.
const for_host = builtin.cpu.arch.isWasm();

pub const Header = struct { name: []const u8, value: []const u8 };

pub const Task = struct {
    id: []const u8,
    handler: []const u8,
    queue: []const u8,
    attempt: u32,
    run: u32,
    max_retries: u32,
    content_type: []const u8,
    enqueued_at_ms: u64,
    due_at_ms: u64,
    deadline_ms: u64,
    headers: []const Header,
    upstream: []const []const u8,

    pub fn header(task: Task, name: []const u8) ?[]const u8 {
        for (task.headers) |h| if (std.mem.eql(u8, h.name, name)) return h.value;
        return null;
    }
};

/// For tests: `handle(gpa, payload, tasq.first_run)`, and `tasq.lastFailure()` after error.Failed.
pub const first_run: Task = .{
    .id = "test",
    .handler = "test",
    .queue = "default",
    .attempt = 1,
    .run = 1,
    .max_retries = 25,
    .content_type = "application/json",
    .enqueued_at_ms = 0,
    .due_at_ms = 0,
    .deadline_ms = 30_000,
    .headers = &.{},
    .upstream = &.{},
};

pub fn lastFailure() ?Failure {
    return failed;
}

// ---- Failures --------------------------------------------------------------------------------

pub const Failure = struct {
    kind: enum(u8) { retry, discard, snooze },
    message: []const u8,
    code: []const u8 = "",
    /// 0 leaves the delay to the host.
    retry_after_ms: u64 = 0,
};

/// `return tasq.discard("bad payload: {t}", .{err});`. Any other error of a handler is a retry with its name as the code.
pub fn discard(comptime format: []const u8, args: anytype) error{Failed} {
    return fail(.{ .kind = .discard, .message = print(format, args) });
}
pub fn retry(comptime format: []const u8, args: anytype) error{Failed} {
    return fail(.{ .kind = .retry, .message = print(format, args) });
}
pub fn snooze(after_ms: u64, comptime format: []const u8, args: anytype) error{Failed} {
    return fail(.{ .kind = .snooze, .message = print(format, args), .retry_after_ms = after_ms });
}
pub fn fail(failure: Failure) error{Failed} {
    failed = failure;
    return error.Failed;
}
var failed: ?Failure = null;

/// What is no UTF-8, which the host would refuse, becomes U+FFFD.
fn utf8(text: []const u8) []const u8 {
    return if (std.unicode.utf8ValidateSlice(text)) text else print("{f}", .{std.unicode.fmtUtf8(text)});
}

fn print(comptime format: []const u8, args: anytype) []const u8 {
    return std.fmt.allocPrint(arena.allocator(), format, args) catch "out of memory";
}

// ---- The host ---------------------------------------------------------------------------------

const Raw = extern struct {
    ptr: [*]const u8,
    len: usize,
    fn slice(raw: Raw) []const u8 {
        return raw.ptr[0..raw.len];
    }
    fn of(s: []const u8) Raw {
        return .{ .ptr = at(s), .len = s.len };
    }
};
/// The host refuses even an empty list that points outside the memory, as Zig's empty allocations do.
fn at(s: []const u8) [*]const u8 {
    return if (s.len > 0) s.ptr else "";
}
const RawHeader = extern struct { name: Raw, value: Raw };
const RawError = extern struct { kind: u8, message: Raw };
fn Answer(comptime T: type) type {
    return extern struct {
        failed: u8 = 0,
        as: extern union { ok: T, err: RawError } = undefined,
        fn get(answer: @This()) HostError!T {
            if (answer.failed == 0) return answer.as.ok;
            host_error = answer.as.err.message.slice();
            return switch (answer.as.err.kind) {
                0 => error.Denied,
                1 => error.Invalid,
                2 => error.TooLarge,
                3 => error.TooMany,
                4 => error.Conflict,
                5 => error.Unavailable,
                else => error.Other,
            };
        }
    };
}
const RawOption = extern struct { some: u8, value: Raw };

pub const HostError = error{ Denied, Invalid, TooLarge, TooMany, Conflict, Unavailable, Other };
/// What the host said with the last HostError.
pub var host_error: []const u8 = "";

pub const context = struct {
    const host = struct {
        extern "tasq:handler/context@0.1.0" fn @"remaining-ms"() u64;
        extern "tasq:handler/context@0.1.0" fn stopping(*[2]u8) void;
        extern "tasq:handler/context@0.1.0" fn progress(u32, [*]const u8, usize) void;
    };
    pub const Stop = enum { cancelled, shutting_down };

    pub fn remainingMs() u64 {
        return host.@"remaining-ms"();
    }
    /// null as long as the run may go on.
    pub fn stopping() ?Stop {
        var out: [2]u8 = undefined;
        host.stopping(&out);
        return if (out[0] != 0) @enumFromInt(out[1]) else null;
    }
    pub fn progress(percent: u8, note: []const u8) void {
        const text = utf8(note);
        host.progress(percent, at(text), text.len);
    }
};

pub const log = struct {
    const host = struct {
        extern "tasq:handler/log@0.1.0" fn enabled(u32) u32;
        extern "tasq:handler/log@0.1.0" fn log(u32, [*]const u8, usize, [*]const RawHeader, usize) void;
    };
    pub const Level = enum { trace, debug, info, warn, err };

    pub fn enabled(level: Level) bool {
        return host.enabled(@intFromEnum(level)) != 0;
    }
    pub fn write(level: Level, message: []const u8, fields: []const Header) void {
        const raw = rawHeaders(fields);
        const text = utf8(message);
        host.log(@intFromEnum(level), at(text), text.len, raw.ptr, raw.len);
    }
    /// `pub const std_options: std.Options = .{ .logFn = tasq.log.std_log, .log_level = .debug };` sends std.log here.
    pub fn std_log(comptime level: std.log.Level, comptime scope: @EnumLiteral(), comptime format: []const u8, args: anytype) void {
        const mine: Level = switch (level) {
            .err => .err,
            .warn => .warn,
            .info => .info,
            .debug => .debug,
        };
        if (!enabled(mine)) return;
        write(mine, print(format, args), if (scope == .default) &.{} else &.{.{ .name = "scope", .value = @tagName(scope) }});
    }
};

/// `pub const panic = tasq.panic;` logs the message of a panic before the trap.
pub const panic = std.debug.FullPanic(struct {
    fn call(message: []const u8, _: ?usize) noreturn {
        log.write(.err, message, &.{});
        @trap();
    }
}.call);

pub const config = struct {
    extern "tasq:handler/config@0.1.0" fn get(name: [*]const u8, len: usize, out: *RawOption) void;

    pub fn value(name: []const u8) ?[]const u8 {
        var out: RawOption = undefined;
        get(at(name), name.len, &out);
        return if (out.some != 0) out.value.slice() else null;
    }
};

pub const NewTask = struct {
    handler: []const u8,
    payload: []const u8,
    content_type: []const u8 = "",
    /// "" for the handler's own queue.
    queue: []const u8 = "",
    delay_ms: u64 = 0,
    unique_key: []const u8 = "",
    headers: []const Header = &.{},
    options: []const Header = &.{},
};

/// Returns the id that the new task will have.
pub fn enqueue(t: NewTask) HostError![]const u8 {
    const host = struct {
        extern "tasq:handler/producer@0.1.0" fn enqueue(
            [*]const u8, usize, [*]const u8, usize, [*]const u8, usize, [*]const u8, usize, u64, [*]const u8, usize,
            [*]const RawHeader, usize, [*]const RawHeader, usize, *Answer(Raw),
        ) void;
    };
    const headers = rawHeaders(t.headers);
    const options = rawHeaders(t.options);
    var answer: Answer(Raw) = .{};
    host.enqueue(
        at(t.handler), t.handler.len, at(t.payload), t.payload.len, at(t.content_type), t.content_type.len, at(t.queue), t.queue.len,
        t.delay_ms, at(t.unique_key), t.unique_key.len, headers.ptr, headers.len, options.ptr, options.len, &answer,
    );
    return (try answer.get()).slice();
}

pub const store = struct {
    const host = struct {
        extern "tasq:handler/store@0.1.0" fn get([*]const u8, usize, *Answer(RawOption)) void;
        extern "tasq:handler/store@0.1.0" fn put([*]const u8, usize, [*]const u8, usize, u64, *Answer(u8)) void;
        extern "tasq:handler/store@0.1.0" fn replace([*]const u8, usize, u32, [*]const u8, usize, [*]const u8, usize, u64, *Answer(u8)) void;
        extern "tasq:handler/store@0.1.0" fn increment([*]const u8, usize, i32, u64, *Answer(i64)) void;
        extern "tasq:handler/store@0.1.0" fn remove([*]const u8, usize, *Answer(u8)) void;
    };

    pub fn get(key: []const u8) HostError!?[]const u8 {
        var answer: Answer(RawOption) = .{};
        host.get(at(key), key.len, &answer);
        const found = try answer.get();
        return if (found.some != 0) found.value.slice() else null;
    }
    /// `ttl_ms` 0 keeps the value until it is removed.
    pub fn put(key: []const u8, value: []const u8, ttl_ms: u64) HostError!void {
        var answer: Answer(u8) = .{};
        host.put(at(key), key.len, at(value), value.len, ttl_ms, &answer);
        _ = try answer.get();
    }
    /// Writes only where the key holds `expected` (null: where it is absent), and says whether it did. `ttl_ms` 0 keeps the present expiry.
    pub fn replace(key: []const u8, expected: ?[]const u8, value: []const u8, ttl_ms: u64) HostError!bool {
        var answer: Answer(u8) = .{};
        const e = expected orelse "";
        host.replace(at(key), key.len, @intFromBool(expected != null), at(e), e.len, at(value), value.len, ttl_ms, &answer);
        return try answer.get() != 0;
    }
    /// Returns the new value. `ttl_ms` 0 keeps the present expiry.
    pub fn increment(key: []const u8, by: i32, ttl_ms: u64) HostError!i64 {
        var answer: Answer(i64) = .{};
        host.increment(at(key), key.len, by, ttl_ms, &answer);
        return answer.get();
    }
    pub fn remove(key: []const u8) HostError!void {
        var answer: Answer(u8) = .{};
        host.remove(at(key), key.len, &answer);
        _ = try answer.get();
    }
};

// ---- Memory ------------------------------------------------------------------------------------

/// std.heap.wasm_allocator grows the memory for its first byte, and each grow costs the host a system call.
/// So a run begins in these 1.5 MiB, which cost nothing before they are touched.
var first: [3 << 19]u8 align(16) = undefined;
var first_allocator: std.heap.FixedBufferAllocator = .init(&first);
const further = if (for_host) std.heap.wasm_allocator else std.heap.page_allocator;
const backing: std.mem.Allocator = .{ .ptr = undefined, .vtable = &.{
    .alloc = struct {
        fn alloc(_: *anyopaque, len: usize, alignment: std.mem.Alignment, ra: usize) ?[*]u8 {
            return first_allocator.allocator().rawAlloc(len, alignment, ra) orelse further.rawAlloc(len, alignment, ra);
        }
    }.alloc,
    .resize = std.mem.Allocator.noResize,
    .remap = std.mem.Allocator.noRemap,
    .free = struct {
        fn free(_: *anyopaque, memory: []u8, alignment: std.mem.Alignment, ra: usize) void {
            if (!first_allocator.ownsSlice(memory)) further.rawFree(memory, alignment, ra);
        }
    }.free,
} };
var arena: std.heap.ArenaAllocator = .init(backing);

const no_headers = [1]RawHeader{.{ .name = .of(""), .value = .of("") }};

fn rawHeaders(list: []const Header) []const RawHeader {
    if (list.len == 0) return no_headers[0..0];
    const out = arena.allocator().alloc(RawHeader, list.len) catch @trap();
    for (list, out) |h, *o| o.* = .{ .name = .of(utf8(h.name)), .value = .of(utf8(h.value)) };
    return out;
}

fn realloc(old: [*]const u8, old_size: usize, _: usize, size: usize) callconv(.c) [*]u8 {
    // 8 covers every type of this world, and even an empty list needs a pointer into memory.
    const new = arena.allocator().alignedAlloc(u8, .@"8", @max(size, 1)) catch @trap();
    const n = @min(old_size, size);
    if (n > 0) @memcpy(new[0..n], old[0..n]);
    return new.ptr;
}

// ---- The export ----------------------------------------------------------------------------------

/// Payload and task are more than 16 flat values, so they come as one block.
const Arguments = extern struct {
    payload: Raw,
    id: Raw align(8),
    handler: Raw,
    queue: Raw,
    attempt: u32,
    run: u32,
    max_retries: u32,
    content_type: Raw,
    enqueued_at_ms: u64,
    due_at_ms: u64,
    deadline_ms: u64,
    headers: extern struct { ptr: [*]const RawHeader, len: usize },
    upstream: extern struct { ptr: [*]const Raw, len: usize },
};

const Result = extern struct {
    failed: u8,
    as: extern union { ok: Raw, failure: extern struct { kind: u8, message: Raw, code: Raw, retry_after_ms: u64 } },
};

comptime {
    if (for_host) std.debug.assert(@sizeOf(Arguments) == 96 and @offsetOf(Arguments, "upstream") == 88 and @sizeOf(Result) == 40);
}

/// `comptime { tasq.exportHandler(handle); }` in the root file makes `handle` the handler.
pub fn exportHandler(comptime f: fn (std.mem.Allocator, []const u8, Task) anyerror![]const u8) void {
    if (!for_host) return;
    const glue = struct {
        var result: Result = undefined;

        fn handle(a: *const Arguments) callconv(.c) *const Result {
            result = if (run(a)) |ok|
                .{ .failed = 0, .as = .{ .ok = .of(ok) } }
            else |err| failure: {
                const why: Failure = if (err == error.Failed and failed != null) failed.? else .{ .kind = .retry, .message = @errorName(err), .code = @errorName(err) };
                break :failure .{ .failed = 1, .as = .{ .failure = .{
                    .kind = @intFromEnum(why.kind),
                    .message = .of(utf8(why.message)),
                    .code = .of(utf8(why.code)),
                    .retry_after_ms = why.retry_after_ms,
                } } };
            };
            return &result;
        }

        fn run(a: *const Arguments) ![]const u8 {
            const gpa = arena.allocator();
            const headers = try gpa.alloc(Header, a.headers.len);
            for (headers, a.headers.ptr) |*h, raw| h.* = .{ .name = raw.name.slice(), .value = raw.value.slice() };
            const upstream = try gpa.alloc([]const u8, a.upstream.len);
            for (upstream, a.upstream.ptr) |*u, raw| u.* = raw.slice();
            failed = null;
            return f(gpa, a.payload.slice(), .{
                .id = a.id.slice(),
                .handler = a.handler.slice(),
                .queue = a.queue.slice(),
                .attempt = a.attempt,
                .run = a.run,
                .max_retries = a.max_retries,
                .content_type = a.content_type.slice(),
                .enqueued_at_ms = a.enqueued_at_ms,
                .due_at_ms = a.due_at_ms,
                .deadline_ms = a.deadline_ms,
                .headers = headers,
                .upstream = upstream,
            });
        }

        fn post(_: *const Result) callconv(.c) void {
            _ = arena.reset(.free_all);
            first_allocator.reset();
        }
    };
    @export(&realloc, .{ .name = "cabi_realloc" });
    @export(&glue.handle, .{ .name = "tasq:handler/handler@0.1.0#handle" });
    @export(&glue.post, .{ .name = "cabi_post_tasq:handler/handler@0.1.0#handle" });
}
