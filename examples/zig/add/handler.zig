const std = @import("std");
const tasq = @import("tasq/tasq.zig");

pub const std_options: std.Options = .{ .logFn = tasq.log.std_log };
pub const panic = tasq.panic;

comptime {
    tasq.exportHandler(handle);
}

const Numbers = struct { arg1: f64, arg2: f64 };

fn handle(gpa: std.mem.Allocator, payload: []const u8, task: tasq.Task) anyerror![]const u8 {
    std.log.info("adding, attempt {d}", .{task.attempt});
    const numbers = std.json.parseFromSliceLeaky(Numbers, gpa, payload, .{ .ignore_unknown_fields = true }) catch |err|
        return tasq.fail(.{
            .kind = .discard,
            .code = "invalid-payload",
            .message = try std.fmt.allocPrint(gpa, "expected an object with the numbers arg1 and arg2: {t}", .{err}),
        });
    const sum = numbers.arg1 + numbers.arg2;
    if (!std.math.isFinite(sum)) return tasq.discard("the sum is too large for a double", .{});
    return std.fmt.allocPrint(gpa, "{{\"result\":{d}}}", .{sum});
}

test "adds the numbers" {
    var arena: std.heap.ArenaAllocator = .init(std.testing.allocator);
    defer arena.deinit();
    const result = try handle(arena.allocator(), "{\"arg1\":5,\"arg2\":4,\"more\":[null]}", tasq.first_run);
    try std.testing.expectEqualStrings("{\"result\":9}", result);
}

test "discards what isn't two numbers" {
    var arena: std.heap.ArenaAllocator = .init(std.testing.allocator);
    defer arena.deinit();
    for ([_][]const u8{ "{not json", "", "[1,2]", "{\"arg1\":5}", "{\"arg1\":\"x\",\"arg2\":2}", "{\"arg1\":1e308,\"arg2\":1e308}" }) |bad| {
        try std.testing.expectError(error.Failed, handle(arena.allocator(), bad, tasq.first_run));
        try std.testing.expectEqual(.discard, tasq.lastFailure().?.kind);
    }
}
