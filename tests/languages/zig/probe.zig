//! One operation of the contract per call, for the table of languages: the payload's "op" names it.
const std = @import("std");
const tasq = @import("tasq/tasq.zig");

pub const std_options: std.Options = .{ .logFn = tasq.log.std_log };
pub const panic = tasq.panic;

comptime {
    tasq.exportHandler(handle);
}

const Payload = struct {
    op: ?[]const u8 = null,
    arg1: ?f64 = null,
    arg2: ?f64 = null,
    pad: []const u8 = "",
    size: usize = 0,
    message: []const u8 = "",
};

const Op = enum { task, size, big, none, log, context, config, enqueue, store, boom, discard, retry, snooze, panic, deep };

fn handle(gpa: std.mem.Allocator, payload: []const u8, task: tasq.Task) anyerror![]const u8 {
    const in = std.json.parseFromSliceLeaky(Payload, gpa, payload, .{ .ignore_unknown_fields = true }) catch |err|
        // What doesn't fit may be no text at all.
        return invalid("{t} in {s}", .{ err, payload[0..@min(payload.len, 100)] });
    const word = in.op orelse return json(gpa, .{
        .result = (in.arg1 orelse return invalid("no arg1", .{})) + (in.arg2 orelse return invalid("no arg2", .{})),
    });
    switch (std.meta.stringToEnum(Op, word) orelse return tasq.discard("unknown op {s}", .{word})) {
        .task => return see(gpa, task),
        .size => return json(gpa, .{ .size = try std.unicode.utf8CountCodepoints(in.pad) }),
        .big => {
            const zeros = try gpa.alloc(u8, in.size);
            @memset(zeros, 0);
            return zeros;
        },
        .none => return "",
        .log => {
            tasq.log.write(.warn, "Größe 🙂", &.{.{ .name = "user.id", .value = "Zoë" }});
            std.log.info("through {s}", .{"std.log"});
            return json(gpa, .{ .trace = tasq.log.enabled(.trace), .@"error" = tasq.log.enabled(.err) });
        },
        .context => {
            tasq.context.progress(50, "half ✓");
            const stopping: ?[]const u8 = if (tasq.context.stopping()) |stop| switch (stop) {
                .cancelled => "cancelled",
                .shutting_down => "shutting-down",
            } else null;
            return json(gpa, .{ .remaining = tasq.context.remainingMs(), .stopping = stopping });
        },
        .config => return json(gpa, .{ .present = tasq.config.value("GREETING"), .absent = tasq.config.value("NOPE") }),
        .enqueue => return enqueue(gpa) catch |err| refused(err),
        .store => return store(gpa) catch |err| refused(err),
        .boom => return tasq.retry("{s}", .{in.message}),
        .discard => return tasq.fail(.{ .kind = .discard, .message = "no such user", .code = "no-user" }),
        .retry => return tasq.fail(.{ .kind = .retry, .message = "slow down", .code = "rate-limited", .retry_after_ms = 30_000 }),
        .snooze => return tasq.snooze(60_000, "closed", .{}),
        .panic => @panic("oh no"),
        .deep => return json(gpa, deep(0)),
    }
}

fn invalid(comptime format: []const u8, args: anytype) error{Failed} {
    tasq.discard(format, args) catch {};
    return tasq.fail(.{ .kind = .discard, .message = tasq.lastFailure().?.message, .code = "invalid-payload" });
}

fn json(gpa: std.mem.Allocator, value: anytype) ![]const u8 {
    return std.json.Stringify.valueAlloc(gpa, value, .{});
}

fn see(gpa: std.mem.Allocator, t: tasq.Task) ![]const u8 {
    var headers: std.json.ArrayHashMap([]const u8) = .{};
    for (t.headers) |h| try headers.map.put(gpa, h.name, h.value);
    return json(gpa, .{
        .id = t.id,
        .handler = t.handler,
        .queue = t.queue,
        .attempt = t.attempt,
        .run = t.run,
        .max_retries = t.max_retries,
        .content_type = t.content_type,
        .enqueued_at_ms = t.enqueued_at_ms,
        .due_at_ms = t.due_at_ms,
        .deadline_ms = t.deadline_ms,
        .headers = headers,
        .upstream = t.upstream,
    });
}

fn enqueue(gpa: std.mem.Allocator) ![]const u8 {
    const id = try tasq.enqueue(.{
        .handler = "mail",
        .payload = "{\"to\":\"Zoë\"}",
        .content_type = "application/json",
        .queue = "low",
        .delay_ms = 5000,
        .headers = &.{.{ .name = "a", .value = "b" }},
        .options = &.{.{ .name = "priority", .value = "high" }},
    });
    _ = tasq.enqueue(.{ .handler = "forbidden", .payload = "raw" }) catch |err|
        return json(gpa, .{ .id = id, .@"error" = kind(err), .message = tasq.host_error });
    return tasq.discard("it was not refused", .{});
}

fn store(gpa: std.mem.Allocator) ![]const u8 {
    const s = tasq.store;
    try s.put("k", "ü", 60_000);
    const before = try s.get("k");
    const absent = try s.replace("k", null, "x", 1000);
    const changed = try s.replace("k", "ü", "", 1000);
    const emptied = try s.get("k");
    const created = try s.replace("new", null, "one", 1000);
    const first = try s.increment("n", 41, 0);
    const second = try s.increment("n", 1, 0);
    try s.remove("k");
    return json(gpa, .{
        try s.get("nothing"), before,                       absent,                             changed,
        emptied,              created,                      first,                              second,
        try s.get("k"),       fails(s.get("forbidden")), fails(s.put("forbidden", "", 0)), fails(s.increment("new", 1, 0)),
    });
}

fn fails(answer: anytype) []const u8 {
    _ = answer catch |err| return kind(err);
    return "ok";
}

fn kind(err: anyerror) []const u8 {
    return switch (err) {
        error.Denied => "denied",
        error.Invalid => "invalid",
        error.TooLarge => "too-large",
        error.TooMany => "too-many",
        error.Conflict => "conflict",
        error.Unavailable => "unavailable",
        else => @errorName(err),
    };
}

/// An error of the host is a retry by itself; its text comes along.
fn refused(err: anyerror) anyerror {
    return if (err == error.Failed) err else tasq.retry("{s}: {s}", .{ kind(err), tasq.host_error });
}

noinline fn deep(n: u64) u64 {
    var here: [64]u8 = undefined;
    std.mem.doNotOptimizeAway(&here);
    return deep(n + 1) + here.len;
}
